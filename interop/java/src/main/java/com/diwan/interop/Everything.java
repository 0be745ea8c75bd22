package com.diwan.interop;

import java.io.Serializable;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** One field of every kind; a fresh one has null wherever Java allows it. */
public class Everything implements Serializable {
    private static final long serialVersionUID = 1L;

    public boolean flag;
    public byte tiny;
    public short small;
    public int number;
    public long big;
    public float ratio;
    public double exact;
    public char letter;
    public Boolean boxedFlag;
    public Byte boxedTiny;
    public Short boxedSmall;
    public Integer boxedNumber;
    public Long boxedBig;
    public Float boxedRatio;
    public Double boxedExact;
    public Character boxedLetter;
    public String text;
    public byte[] raw;
    public Date when;
    public BigDecimal price;
    public BigInteger huge;
    public Spice spice;
    public Locale locale;
    public List<Dish> dishes;
    public Set<String> tags;
    public Map<String, Integer> counts;
    public String[] names;
    public int[] numbers;
    public Dish[] menu;
    public Tool tool;
    public Everything inner;
}
