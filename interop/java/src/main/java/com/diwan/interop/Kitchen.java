package com.diwan.interop;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.Date;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * Version 1.0: every kind of value that crosses the wire. Almost every answer is computed from the argument, so that
 * a server which hands the bytes back fails. A null argument gives a null answer unless something else is said.
 */
public interface Kitchen {
    // ---- primitives. No answer is a byte, short, float or char: SOFARPC's own client cannot take one, because the wire
    // has only int, double and string for them and its proxy casts what Hessian read (ClassCastException, 5.13.2).
    boolean not(boolean value);

    /** Plus one, wrapping around in the argument's type; so do the next three. */
    int nextByte(byte value);

    int nextShort(short value);

    int nextInt(int value);

    long nextLong(long value);

    double halfFloat(float value);

    double halfDouble(double value);

    /** The next UTF-16 unit. */
    String nextChar(char value);

    // ---- boxed: as above
    Boolean notBoxed(Boolean value);

    Integer nextBoxedByte(Byte value);

    Integer nextBoxedShort(Short value);

    Integer nextBoxedInt(Integer value);

    Long nextBoxedLong(Long value);

    Double halfBoxedFloat(Float value);

    Double halfBoxedDouble(Double value);

    String nextBoxedChar(Character value);

    // ---- strings and bytes
    String echo(String text);

    /** Backwards by code points: surrogate pairs stay together. */
    String reverse(String text);

    /** In UTF-16 units; -1 for null. */
    int utf16Length(String text);

    /** Each byte xor 0x5a. */
    byte[] flip(byte[] data);

    /** The sum of the bytes taken as 0..255; -1 for null. */
    long sum(byte[] data);

    // ---- value classes
    /** 86,400,000 ms later. */
    Date nextDay(Date value);

    BigDecimal negate(BigDecimal value);

    BigInteger square(BigInteger value);

    /** The language alone, without country and variant. */
    Locale language(Locale value);

    // ---- java.time
    LocalDate nextLocalDate(LocalDate value);

    /** One hour later. */
    LocalDateTime nextLocalDateTime(LocalDateTime value);

    /** One minute later, around midnight. */
    LocalTime nextLocalTime(LocalTime value);

    /** One second later. */
    Instant nextInstant(Instant value);

    Duration twice(Duration value);

    /** localDate one day, localTime one minute, localDateTime one hour later, instant one second later, year one up; the rest as it came. */
    Times shift(Times value);

    // ---- enums
    /** The one declared after it; SALT after CHILI. */
    Spice nextSpice(Spice value);

    /** Backwards, each replaced by its next. */
    List<Spice> nextSpices(List<Spice> values);

    /** How often each occurs. */
    Map<Spice, Integer> countSpices(List<Spice> values);

    // ---- collections and arrays
    List<Dish> reverseDishes(List<Dish> dishes);

    /** The first to the end. */
    LinkedList<Dish> rotateDishes(LinkedList<Dish> dishes);

    Set<String> upperCase(Set<String> words);

    /** Each weight doubled. */
    Set<Tag> heavier(Set<Tag> tags);

    /** Each price halved, rounding down; the keys unchanged. */
    Map<String, Dish> halfPrice(Map<String, Dish> dishes);

    /** Keys and values exchanged. */
    Map<String, Integer> invert(Map<Integer, String> names);

    String[] reverseStrings(String[] values);

    /** Each plus one. */
    int[] nextInts(int[] values);

    long[] nextLongs(long[] values);

    double[] halfDoubles(double[] values);

    Dish[] reverseDishArray(Dish[] values);

    /** Rows become columns; the rows have equal lengths. */
    int[][] transpose(int[][] values);

    // ---- objects
    /** id plus one, name backwards, priceCents doubled, vegan negated, next spice, weightKg negated, notes backwards. */
    Dish remake(Dish dish);

    /** Every node reachable: its peers backwards, its name with "'" at the end. The answer is the same graph. */
    Node swapPeers(Node start);

    /** How many different nodes can be reached; 0 for null. */
    int reach(Node start);

    /** {@code size} nodes "0", "1", ... whose next leads around; each has its predecessor and itself as peers. */
    Node ring(int size);

    /** The very same object twice. */
    List<Dish> twins(Dish dish);

    /** Whether both arguments are the one object. */
    boolean same(Node first, Node second);

    /** favourite becomes the last tool, the tools go backwards, each bigger: lengthCm plus 0.5, diameterCm plus 2 and lid negated. */
    Drawer tidy(Drawer drawer);

    /** A knife for a pan (its diameter as length), a pan for a knife (its length, whole part, as diameter, without lid). */
    Tool exchange(Tool tool);

    /**
     * Numbers plus one (ratio, exact: halved), booleans negated, letters next, texts and lists and arrays backwards, raw
     * flipped, when one day later, price negated, huge squared, next spice, language of locale, tags upper case, counts plus one,
     * tool exchanged, inner likewise; null stays null.
     */
    Everything transform(Everything value);

    /** Second, first. */
    List<Object> pair(Object first, Object second);

    /** "whole,big,real,flag,text,milliseconds of when,names joined with +,price". */
    String join(int whole, long big, double real, boolean flag, String text, Date when, List<String> names, BigDecimal price);

    // ---- control
    /** Always throws; cause is null. */
    String refuse(String reason, int code) throws KitchenException;

    /** Always throws, because of an IllegalArgumentException "reason:code+1". SOFARPC's server cuts the cause off before it sends. */
    String refuseBecause(String reason, int code) throws KitchenException;

    /** Always throws an undeclared IllegalStateException with {@code what} as its message. */
    String burn(String what);

    /** Answers {@code text} after {@code delayMs}. */
    String slow(String text, long delayMs);

    /** Adds to the counter. Called oneway. */
    void tick(int by);

    /** Adds to the counter and answers nothing, but answers. */
    void add(int by);

    long counter();

    /** The baggage item of this key that came with the request; sets the response's item "served" to "yes:" and that value. */
    String baggage(String key);
}
