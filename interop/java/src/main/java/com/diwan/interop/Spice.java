package com.diwan.interop;

public enum Spice {
    SALT, PEPPER, CHILI;

    public Spice next() {
        return values()[(ordinal() + 1) % values().length];
    }
}
