package com.diwan.interop;

import java.io.Serializable;
import java.util.Objects;

/** An element of sets: equal by content. */
public class Tag implements Serializable {
    private static final long serialVersionUID = 1L;

    public String text;
    public int weight;

    public Tag() {
    }

    public Tag(String text, int weight) {
        this.text = text;
        this.weight = weight;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Tag tag && weight == tag.weight && Objects.equals(text, tag.text);
    }

    @Override
    public int hashCode() {
        return Objects.hash(text, weight);
    }
}
