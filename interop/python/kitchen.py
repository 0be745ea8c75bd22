"""What client and server share: the messages, and what a reply should be. Made by `../setup` from ../proto."""
import pb_kitchen_pb2 as pb

SERVICE = "com.diwan.interop.PbKitchen:1.0"


def cook(request):
    reply = pb.CookReply(
        dish=request.dish[::-1],
        portions=request.portions + 1,
        raw=bytes(b ^ 0x5A for b in request.raw),
        notes=list(reversed(request.notes)),
        counts={key: count + 1 for key, count in request.counts.items()},
        weight_kg=request.weight_kg / 2,
        heat=min(2, request.heat + 1),
    )
    if request.HasField("side"):
        reply.side.CopyFrom(cook(request.side))
    return reply
