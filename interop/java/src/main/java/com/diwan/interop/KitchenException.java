package com.diwan.interop;

public class KitchenException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int code;

    public KitchenException(String message, int code) {
        super(message);
        this.code = code;
    }

    public KitchenException(String message, int code, Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public int getCode() {
        return code;
    }
}
