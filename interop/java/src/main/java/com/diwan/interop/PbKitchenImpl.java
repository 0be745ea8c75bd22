package com.diwan.interop;

import com.diwan.interop.pb.CookReply;
import com.diwan.interop.pb.CookRequest;
import com.diwan.interop.pb.Heat;
import com.google.protobuf.ByteString;

public class PbKitchenImpl implements PbKitchen {
    private final KitchenImpl kitchen = new KitchenImpl();

    @Override
    public CookReply cook(CookRequest request) {
        CookReply.Builder reply = CookReply.newBuilder()
            .setDish(kitchen.reverse(request.getDish()))
            .setPortions(request.getPortions() + 1)
            .setRaw(ByteString.copyFrom(kitchen.flip(request.getRaw().toByteArray())))
            .setWeightKg(request.getWeightKg() / 2)
            .setHeat(Heat.forNumber(Math.min(2, request.getHeatValue() + 1)));
        for (int i = request.getNotesCount() - 1; i >= 0; i--) {
            reply.addNotes(request.getNotes(i));
        }
        request.getCountsMap().forEach((key, count) -> reply.putCounts(key, count + 1));
        if (request.hasSide()) {
            reply.setSide(cook(request.getSide()));
        }
        return reply.build();
    }

    @Override
    public CookReply refuse(CookRequest request) {
        throw new IllegalStateException("no " + request.getDish());
    }

    @Override
    public CookReply slow(CookRequest request) {
        kitchen.slow("", request.getPortions());
        return cook(request);
    }
}
