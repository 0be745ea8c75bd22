package com.diwan.interop;

import java.io.Serializable;

public class Pan implements Tool, Serializable {
    private static final long serialVersionUID = 1L;

    public int diameterCm;
    public boolean lid;

    public Pan() {
    }

    public Pan(int diameterCm, boolean lid) {
        this.diameterCm = diameterCm;
        this.lid = lid;
    }
}
