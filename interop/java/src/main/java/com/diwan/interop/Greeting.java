package com.diwan.interop;

import java.io.Serializable;

/** Request and answer of the bare Bolt service: its class name in the frame is what Bolt dispatches by. */
public class Greeting implements Serializable {
    private static final long serialVersionUID = 1L;

    public String text;
    public int count;

    public Greeting() {
    }

    public Greeting(String text, int count) {
        this.text = text;
        this.count = count;
    }
}
