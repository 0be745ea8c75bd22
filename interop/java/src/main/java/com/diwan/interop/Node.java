package com.diwan.interop;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/** A vertex of a graph that may have cycles and shared parts. */
public class Node implements Serializable {
    private static final long serialVersionUID = 1L;

    public String name;
    public Node next;
    public List<Node> peers = new ArrayList<>();

    public Node() {
    }

    public Node(String name) {
        this.name = name;
    }
}
