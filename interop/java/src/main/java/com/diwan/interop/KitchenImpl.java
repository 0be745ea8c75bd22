package com.diwan.interop;

import com.alipay.sofa.rpc.context.RpcInvokeContext;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;

/** Answers new objects except where identity is the point; the client uses it, too, to know what to expect. */
public class KitchenImpl implements Kitchen {
    private final AtomicLong counter = new AtomicLong();

    @Override
    public boolean not(boolean value) {
        return !value;
    }

    @Override
    public int nextByte(byte value) {
        return (byte) (value + 1);
    }

    @Override
    public int nextShort(short value) {
        return (short) (value + 1);
    }

    @Override
    public int nextInt(int value) {
        return value + 1;
    }

    @Override
    public long nextLong(long value) {
        return value + 1;
    }

    @Override
    public double halfFloat(float value) {
        return value / 2;
    }

    @Override
    public double halfDouble(double value) {
        return value / 2;
    }

    @Override
    public String nextChar(char value) {
        return String.valueOf((char) (value + 1));
    }

    @Override
    public Boolean notBoxed(Boolean value) {
        return value == null ? null : Boolean.valueOf(!value);
    }

    @Override
    public Integer nextBoxedByte(Byte value) {
        return value == null ? null : Integer.valueOf(nextByte(value));
    }

    @Override
    public Integer nextBoxedShort(Short value) {
        return value == null ? null : Integer.valueOf(nextShort(value));
    }

    @Override
    public Integer nextBoxedInt(Integer value) {
        return value == null ? null : Integer.valueOf(nextInt(value));
    }

    @Override
    public Long nextBoxedLong(Long value) {
        return value == null ? null : Long.valueOf(nextLong(value));
    }

    @Override
    public Double halfBoxedFloat(Float value) {
        return value == null ? null : Double.valueOf(halfFloat(value));
    }

    @Override
    public Double halfBoxedDouble(Double value) {
        return value == null ? null : Double.valueOf(halfDouble(value));
    }

    @Override
    public String nextBoxedChar(Character value) {
        return value == null ? null : nextChar(value);
    }

    @Override
    public String echo(String text) {
        return text;
    }

    @Override
    public String reverse(String text) {
        return text == null ? null : new StringBuilder(text).reverse().toString();
    }

    @Override
    public int utf16Length(String text) {
        return text == null ? -1 : text.length();
    }

    @Override
    public byte[] flip(byte[] data) {
        if (data == null) {
            return null;
        }
        byte[] flipped = new byte[data.length];
        for (int i = 0; i < data.length; i++) {
            flipped[i] = (byte) (data[i] ^ 0x5a);
        }
        return flipped;
    }

    @Override
    public long sum(byte[] data) {
        if (data == null) {
            return -1;
        }
        long sum = 0;
        for (byte b : data) {
            sum += b & 0xff;
        }
        return sum;
    }

    @Override
    public Date nextDay(Date value) {
        return value == null ? null : new Date(value.getTime() + 86_400_000L);
    }

    @Override
    public BigDecimal negate(BigDecimal value) {
        return value == null ? null : value.negate();
    }

    @Override
    public BigInteger square(BigInteger value) {
        return value == null ? null : value.multiply(value);
    }

    @Override
    public Locale language(Locale value) {
        return value == null ? null : new Locale(value.getLanguage());
    }

    @Override
    public LocalDate nextLocalDate(LocalDate value) {
        return value == null ? null : value.plusDays(1);
    }

    @Override
    public LocalDateTime nextLocalDateTime(LocalDateTime value) {
        return value == null ? null : value.plusHours(1);
    }

    @Override
    public LocalTime nextLocalTime(LocalTime value) {
        return value == null ? null : value.plusMinutes(1);
    }

    @Override
    public Instant nextInstant(Instant value) {
        return value == null ? null : value.plusSeconds(1);
    }

    @Override
    public Duration twice(Duration value) {
        return value == null ? null : value.multipliedBy(2);
    }

    @Override
    public Times shift(Times value) {
        if (value == null) {
            return null;
        }
        Times shifted = new Times();
        shifted.localDate = nextLocalDate(value.localDate);
        shifted.localTime = nextLocalTime(value.localTime);
        shifted.localDateTime = nextLocalDateTime(value.localDateTime);
        shifted.instant = nextInstant(value.instant);
        shifted.duration = value.duration;
        shifted.period = value.period;
        shifted.year = value.year == null ? null : value.year.plusYears(1);
        shifted.yearMonth = value.yearMonth;
        shifted.monthDay = value.monthDay;
        shifted.offsetDateTime = value.offsetDateTime;
        shifted.offsetTime = value.offsetTime;
        shifted.zonedDateTime = value.zonedDateTime;
        shifted.zoneOffset = value.zoneOffset;
        shifted.zoneId = value.zoneId;
        return shifted;
    }

    @Override
    public Spice nextSpice(Spice value) {
        return value == null ? null : value.next();
    }

    @Override
    public List<Spice> nextSpices(List<Spice> values) {
        if (values == null) {
            return null;
        }
        List<Spice> next = new ArrayList<>();
        for (Spice value : values) {
            next.add(0, nextSpice(value));
        }
        return next;
    }

    @Override
    public Map<Spice, Integer> countSpices(List<Spice> values) {
        if (values == null) {
            return null;
        }
        Map<Spice, Integer> counts = new HashMap<>();
        for (Spice value : values) {
            counts.merge(value, 1, Integer::sum);
        }
        return counts;
    }

    @Override
    public List<Dish> reverseDishes(List<Dish> dishes) {
        return reversed(dishes);
    }

    @Override
    public LinkedList<Dish> rotateDishes(LinkedList<Dish> dishes) {
        if (dishes == null) {
            return null;
        }
        LinkedList<Dish> rotated = new LinkedList<>(dishes);
        if (!rotated.isEmpty()) {
            rotated.addLast(rotated.removeFirst());
        }
        return rotated;
    }

    @Override
    public Set<String> upperCase(Set<String> words) {
        if (words == null) {
            return null;
        }
        Set<String> upper = new HashSet<>();
        for (String word : words) {
            upper.add(word == null ? null : word.toUpperCase(Locale.ROOT));
        }
        return upper;
    }

    @Override
    public Set<Tag> heavier(Set<Tag> tags) {
        if (tags == null) {
            return null;
        }
        Set<Tag> heavier = new HashSet<>();
        for (Tag tag : tags) {
            heavier.add(new Tag(tag.text, tag.weight * 2));
        }
        return heavier;
    }

    @Override
    public Map<String, Dish> halfPrice(Map<String, Dish> dishes) {
        if (dishes == null) {
            return null;
        }
        Map<String, Dish> cheaper = new HashMap<>();
        dishes.forEach((key, dish) -> {
            Dish half = copy(dish);
            half.priceCents = dish.priceCents / 2;
            cheaper.put(key, half);
        });
        return cheaper;
    }

    @Override
    public Map<String, Integer> invert(Map<Integer, String> names) {
        if (names == null) {
            return null;
        }
        Map<String, Integer> inverted = new HashMap<>();
        names.forEach((number, name) -> inverted.put(name, number));
        return inverted;
    }

    @Override
    public String[] reverseStrings(String[] values) {
        return values == null ? null : reversed(Arrays.asList(values)).toArray(String[]::new);
    }

    @Override
    public int[] nextInts(int[] values) {
        if (values == null) {
            return null;
        }
        int[] next = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            next[i] = values[i] + 1;
        }
        return next;
    }

    @Override
    public long[] nextLongs(long[] values) {
        if (values == null) {
            return null;
        }
        long[] next = new long[values.length];
        for (int i = 0; i < values.length; i++) {
            next[i] = values[i] + 1;
        }
        return next;
    }

    @Override
    public double[] halfDoubles(double[] values) {
        if (values == null) {
            return null;
        }
        double[] half = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            half[i] = values[i] / 2;
        }
        return half;
    }

    @Override
    public Dish[] reverseDishArray(Dish[] values) {
        if (values == null) {
            return null;
        }
        Dish[] reversed = new Dish[values.length];
        for (int i = 0; i < values.length; i++) {
            reversed[values.length - 1 - i] = values[i];
        }
        return reversed;
    }

    @Override
    public int[][] transpose(int[][] values) {
        if (values == null) {
            return null;
        }
        int[][] turned = new int[values.length == 0 ? 0 : values[0].length][values.length];
        for (int row = 0; row < values.length; row++) {
            for (int column = 0; column < values[row].length; column++) {
                turned[column][row] = values[row][column];
            }
        }
        return turned;
    }

    @Override
    public Dish remake(Dish dish) {
        if (dish == null) {
            return null;
        }
        return new Dish(dish.id + 1, reverse(dish.name), dish.priceCents * 2, !dish.vegan, nextSpice(dish.spice),
            negate(dish.weightKg), reversed(dish.notes));
    }

    @Override
    public Node swapPeers(Node start) {
        for (Node node : reachable(start)) {
            Collections.reverse(node.peers);
            node.name = node.name + "'";
        }
        return start;
    }

    @Override
    public int reach(Node start) {
        return reachable(start).size();
    }

    @Override
    public Node ring(int size) {
        Node[] nodes = new Node[size];
        for (int i = 0; i < size; i++) {
            nodes[i] = new Node("" + i);
        }
        for (int i = 0; i < size; i++) {
            nodes[i].next = nodes[(i + 1) % size];
            nodes[i].peers.add(nodes[(i + size - 1) % size]);
            nodes[i].peers.add(nodes[i]);
        }
        return nodes[0];
    }

    @Override
    public List<Dish> twins(Dish dish) {
        List<Dish> twins = new ArrayList<>();
        twins.add(dish);
        twins.add(dish);
        return twins;
    }

    @Override
    public boolean same(Node first, Node second) {
        return first == second;
    }

    @Override
    public Drawer tidy(Drawer drawer) {
        if (drawer == null) {
            return null;
        }
        Drawer tidied = new Drawer();
        for (Tool tool : drawer.tools) {
            tidied.tools.add(0, bigger(tool));
        }
        tidied.favourite = tidied.tools.isEmpty() ? null : tidied.tools.get(0);
        return tidied;
    }

    private static Tool bigger(Tool tool) {
        if (tool instanceof Knife knife) {
            return new Knife(knife.lengthCm + 0.5);
        }
        Pan pan = (Pan) tool;
        return pan == null ? null : new Pan(pan.diameterCm + 2, !pan.lid);
    }

    @Override
    public Tool exchange(Tool tool) {
        if (tool instanceof Knife knife) {
            return new Pan((int) knife.lengthCm, false);
        }
        return tool == null ? null : new Knife(((Pan) tool).diameterCm);
    }

    @Override
    public Everything transform(Everything value) {
        if (value == null) {
            return null;
        }
        Everything next = new Everything();
        next.flag = !value.flag;
        next.tiny = (byte) nextByte(value.tiny);
        next.small = (short) nextShort(value.small);
        next.number = value.number + 1;
        next.big = value.big + 1;
        next.ratio = value.ratio / 2;
        next.exact = value.exact / 2;
        next.letter = nextChar(value.letter).charAt(0);
        next.boxedFlag = notBoxed(value.boxedFlag);
        next.boxedTiny = value.boxedTiny == null ? null : Byte.valueOf((byte) nextByte(value.boxedTiny));
        next.boxedSmall = value.boxedSmall == null ? null : Short.valueOf((short) nextShort(value.boxedSmall));
        next.boxedNumber = nextBoxedInt(value.boxedNumber);
        next.boxedBig = nextBoxedLong(value.boxedBig);
        next.boxedRatio = value.boxedRatio == null ? null : Float.valueOf(value.boxedRatio / 2);
        next.boxedExact = halfBoxedDouble(value.boxedExact);
        next.boxedLetter = value.boxedLetter == null ? null : Character.valueOf((char) (value.boxedLetter + 1));
        next.text = reverse(value.text);
        next.raw = flip(value.raw);
        next.when = nextDay(value.when);
        next.price = negate(value.price);
        next.huge = square(value.huge);
        next.spice = nextSpice(value.spice);
        next.locale = language(value.locale);
        next.dishes = reversed(value.dishes);
        next.tags = upperCase(value.tags);
        if (value.counts != null) {
            next.counts = new HashMap<>();
            value.counts.forEach((key, count) -> next.counts.put(key, nextBoxedInt(count)));
        }
        next.names = reverseStrings(value.names);
        next.numbers = nextInts(value.numbers);
        next.menu = reverseDishArray(value.menu);
        next.tool = exchange(value.tool);
        next.inner = transform(value.inner);
        return next;
    }

    @Override
    public List<Object> pair(Object first, Object second) {
        List<Object> pair = new ArrayList<>();
        pair.add(second);
        pair.add(first);
        return pair;
    }

    @Override
    public String join(int whole, long big, double real, boolean flag, String text, Date when, List<String> names,
                       BigDecimal price) {
        return whole + "," + big + "," + real + "," + flag + "," + text + "," + when.getTime() + ","
            + String.join("+", names) + "," + price.toPlainString();
    }

    @Override
    public String refuse(String reason, int code) throws KitchenException {
        throw new KitchenException(reason, code);
    }

    @Override
    public String refuseBecause(String reason, int code) throws KitchenException {
        throw new KitchenException(reason, code, new IllegalArgumentException(reason + ":" + (code + 1)));
    }

    @Override
    public String burn(String what) {
        throw new IllegalStateException(what);
    }

    @Override
    public String slow(String text, long delayMs) {
        try {
            Thread.sleep(delayMs);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return text;
    }

    @Override
    public void tick(int by) {
        counter.addAndGet(by);
    }

    @Override
    public void add(int by) {
        counter.addAndGet(by);
    }

    @Override
    public long counter() {
        return counter.get();
    }

    @Override
    public String baggage(String key) {
        String value = RpcInvokeContext.getContext().getRequestBaggage(key);
        RpcInvokeContext.getContext().putResponseBaggage("served", "yes:" + value);
        return value;
    }

    private static Dish copy(Dish dish) {
        return new Dish(dish.id, dish.name, dish.priceCents, dish.vegan, dish.spice, dish.weightKg, dish.notes);
    }

    private static <T> List<T> reversed(List<T> values) {
        if (values == null) {
            return null;
        }
        List<T> reversed = new ArrayList<>(values);
        Collections.reverse(reversed);
        return reversed;
    }

    private static Set<Node> reachable(Node start) {
        Set<Node> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        Deque<Node> open = new ArrayDeque<>();
        if (start != null) {
            open.add(start);
        }
        while (!open.isEmpty()) {
            Node node = open.pop();
            if (seen.add(node)) {
                if (node.next != null) {
                    open.push(node.next);
                }
                node.peers.forEach(open::push);
            }
        }
        return seen;
    }
}
