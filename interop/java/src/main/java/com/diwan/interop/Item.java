package com.diwan.interop;

import java.io.Serializable;

public class Item implements Serializable {
    private static final long serialVersionUID = 1L;

    public long id;
    public String name;
}
