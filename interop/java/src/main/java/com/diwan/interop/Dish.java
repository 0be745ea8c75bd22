package com.diwan.interop;

import java.math.BigDecimal;
import java.util.List;

/** Fields of its own and of a superclass. */
public class Dish extends Item {
    private static final long serialVersionUID = 1L;

    public int priceCents;
    public boolean vegan;
    public Spice spice;
    public BigDecimal weightKg;
    public List<String> notes;

    public Dish() {
    }

    public Dish(long id, String name, int priceCents, boolean vegan, Spice spice, BigDecimal weightKg, List<String> notes) {
        this.id = id;
        this.name = name;
        this.priceCents = priceCents;
        this.vegan = vegan;
        this.spice = spice;
        this.weightKg = weightKg;
        this.notes = notes;
    }
}
