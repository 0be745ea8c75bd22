package com.diwan.interop;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

public class Drawer implements Serializable {
    private static final long serialVersionUID = 1L;

    public Tool favourite;
    public List<Tool> tools = new ArrayList<>();
}
