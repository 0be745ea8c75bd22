package com.diwan.interop;

import java.io.Serializable;

public class Knife implements Tool, Serializable {
    private static final long serialVersionUID = 1L;

    public double lengthCm;

    public Knife() {
    }

    public Knife(double lengthCm) {
        this.lengthCm = lengthCm;
    }
}
