package com.diwan.interop;

import com.diwan.interop.pb.CookReply;
import com.diwan.interop.pb.CookRequest;

/** Version 1.0, protobuf messages; see proto/pb_kitchen.proto. */
public interface PbKitchen {
    CookReply cook(CookRequest request);

    CookReply refuse(CookRequest request);

    CookReply slow(CookRequest request);
}
