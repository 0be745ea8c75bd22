package com.diwan.interop;

import com.diwan.bench.Calls;
import com.diwan.bench.Order;
import java.io.IOException;
import java.lang.reflect.UndeclaredThrowableException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Hashtable;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** Golden values of the draft dialect as hessian 3.5.5 writes them: KIND/NAME.bin, and index.txt says what each holds. */
final class Vectors {
    private final Path dir;
    private final StringBuilder index = new StringBuilder();

    private Vectors(Path dir) {
        this.dir = dir;
    }

    static void write(String dir) throws IOException {
        Vectors vectors = new Vectors(Path.of(dir));
        vectors.scalars();
        vectors.strings();
        vectors.values();
        vectors.collections();
        vectors.objects();
        Files.write(vectors.dir.resolve("index.txt"), vectors.index.toString().getBytes(StandardCharsets.UTF_8));
    }

    private void put(String kind, String name, Object value) throws IOException {
        Path file = dir.resolve(kind).resolve(name + ".bin");
        Files.createDirectories(file.getParent());
        byte[] bytes = HessianFrames.encode(value, false);
        Files.write(file, bytes);
        String text = HessianFrames.canonical(value);
        index.append(kind).append('/').append(name).append(".bin\t").append(text).append('\n');
    }

    private void scalars() throws IOException {
        put("null", "null", null);
        put("boolean", "true", true);
        put("boolean", "false", false);
        for (int n : new int[] {0, 1, 10, 16, 46, 47, 48, 255, 256, 2047, 2048, 262143, 262144, -1, -16, -17, -256, -2048, -2049, -262144,
            -262145, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            put("number", "" + n, n);
        }
        for (long n : new long[] {0, -7, -8, -9, 14, 15, 16, 255, 2047, 2048, -2048, -2049, 262143, 262144, -262144, -262145, 2147483646,
            2147483647, 2147483648L, -2147483647, -2147483648L, -2147483649L, Long.MAX_VALUE, Long.MIN_VALUE}) {
            put("long", "" + n, n);
        }
        for (double d : new double[] {0, -0.0, 1, 2, 10, 10.1, 10.123, 127, 128, -128, -129, 126.9989, -127.9999, 32767, 32768, -32768, -32769, 32766.99999,
            -32767.999, 0.5, 12.375, 0.1f, 2147483647, -2147483648.0, 2147483648.0, -2147483649.0, 2147483646.456, 1e300, Math.PI, Double.NaN,
            Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.MIN_VALUE, Double.MAX_VALUE, Float.MAX_VALUE, Float.MIN_VALUE}) {
            put("double", "" + d, d);
        }
        for (long ms : new long[] {0, -1, 894621060000L, 894621091000L, -128849018880000L, -128849018940000L, 1_585_267_200_123L}) {
            put("date", "" + ms, new Date(ms));
        }
    }

    private void strings() throws IOException {
        put("string", "empty", "");
        put("string", "foo", "foo");
        put("string", "chinese", "\u4e2d\u6587 Chinese");
        put("string", "emoji", "\ud83d\ude00");
        put("string", "one_to_four_bytes", Samples.UNICODE);
        put("string", "lone_high_surrogate", "a\ud83db");
        put("string", "lone_low_surrogate", "a\ude00b");
        for (int length : new int[] {31, 32, 255, 256, 1023, 1024, 4096, 32767, 32768, 32769, 65534, 65535, 65536, 65537}) {
            put("string", "ascii_" + length, Calls.text(length));
        }
        for (int length : new int[] {31, 32, 32767, 32768, 32769, 65535, 65536}) {
            put("string", "chinese_" + length, "\u4e2d".repeat(length));
        }
        put("string", "pairs_even_chunks", Samples.longText(false));
        put("string", "pairs_odd_chunks", Samples.longText(true));
        for (int length : new int[] {0, 1, 15, 16, 17, 255, 256, 1023, 1024, 8189, 8190, 8191, 8192, 32767, 32768, 32769, 42769, 65535, 65536, 82769}) {
            put("bytes", "" + length, Samples.bytes(length));
        }
    }

    private void values() throws IOException {
        for (String text : new String[] {"0", "0.00", "-1.50", "12345678.90", "1E+30", "1E-30", "-98765432109876543210.0123456789"}) {
            put("bigdecimal", text, new BigDecimal(text));
        }
        for (BigInteger n : new BigInteger[] {BigInteger.ZERO, BigInteger.ONE, BigInteger.valueOf(-3), BigInteger.ONE.shiftLeft(31),
            BigInteger.ONE.shiftLeft(32), BigInteger.ONE.shiftLeft(63), new BigInteger("-123456789012345678901234567890")}) {
            put("biginteger", "" + n, n);
        }
        for (Locale locale : new Locale[] {Locale.SIMPLIFIED_CHINESE, Locale.US, Locale.GERMAN, new Locale("de", "DE", "POSIX")}) {
            put("locale", "" + locale, locale);
        }
        Times times = Samples.times();
        put("time", "LocalDate", times.localDate);
        put("time", "LocalTime", times.localTime);
        put("time", "LocalDateTime", times.localDateTime);
        put("time", "Instant", times.instant);
        put("time", "Duration", times.duration);
        put("time", "Period", times.period);
        put("time", "Year", times.year);
        put("time", "YearMonth", times.yearMonth);
        put("time", "MonthDay", times.monthDay);
        put("time", "OffsetDateTime", times.offsetDateTime);
        put("time", "OffsetTime", times.offsetTime);
        put("time", "ZonedDateTime", times.zonedDateTime);
        put("time", "ZoneOffset", times.zoneOffset);
        put("time", "ZoneId", times.zoneId);
        put("time", "all_in_one_object", times);
        put("time", "none_in_one_object", new Times());
        for (Spice spice : Spice.values()) {
            put("enum", "" + spice, spice);
        }
        put("enum", "list", new ArrayList<>(List.of(Spice.SALT, Spice.CHILI, Spice.SALT)));
        put("enum", "array", new Spice[] {Spice.SALT, null, Spice.CHILI});
        put("enum", "map_key", new HashMap<>(Map.of(Spice.PEPPER, 3)));
        put("class", "String", String.class);
        put("class", "Dish", Dish.class);
        put("sql", "Timestamp", new java.sql.Timestamp(1_585_267_200_123L));
        put("sql", "Date", new java.sql.Date(1_585_267_200_000L));
    }

    private void collections() throws IOException {
        put("list", "ArrayList_empty", new ArrayList<>());
        put("list", "ArrayList_foo_bar", new ArrayList<>(List.of("foo", "bar")));
        put("list", "ArrayList_7", new ArrayList<>(List.of(1, 2, 3, 4, 5, 6, 7)));
        put("list", "ArrayList_8", new ArrayList<>(List.of(1, 2, 3, 4, 5, 6, 7, 8)));
        put("list", "ArrayList_255", new ArrayList<>(Collections.nCopies(255, 1)));
        put("list", "ArrayList_256", new ArrayList<>(Collections.nCopies(256, 1)));
        put("list", "ArrayList_of_nulls", new ArrayList<>(Arrays.asList(null, null)));
        put("list", "ArrayList_nested", new ArrayList<>(List.of(new ArrayList<>(List.of(1)), new ArrayList<>(), new LinkedList<>(List.of("x")),
            new LinkedList<>(List.of("y")))));
        put("list", "LinkedList", new LinkedList<>(List.of("a", 2)));
        put("list", "LinkedList_twice", new ArrayList<>(List.of(new LinkedList<>(List.of(1)), new LinkedList<>(List.of(2)))));
        put("list", "Arrays_asList", Arrays.asList("a", "b"));
        put("list", "List_of", List.of("a", "b", "c"));
        put("list", "Collections_emptyList", Collections.emptyList());
        put("list", "Collections_singletonList", Collections.singletonList("a"));
        put("list", "Collections_unmodifiableList", Collections.unmodifiableList(new ArrayList<>(List.of("a"))));
        put("list", "subList", new ArrayList<>(List.of("a", "b", "c")).subList(1, 3));
        put("set", "HashSet_empty", new HashSet<>());
        put("set", "HashSet", new HashSet<>(List.of("a", "b")));
        put("set", "LinkedHashSet", new LinkedHashSet<>(List.of("b", "a")));
        put("set", "TreeSet", new TreeSet<>(List.of("b", "a")));
        put("set", "of_objects", new LinkedHashSet<>(List.of(new Tag("x", 1), new Tag("y", 2))));
        put("array", "int", new int[] {1, -1, 70_000});
        put("array", "int_empty", new int[0]);
        put("array", "int_300", new int[300]);
        put("array", "short", new short[] {1, -1});
        put("array", "long", new long[] {1, -1, 1L << 40});
        put("array", "float", new float[] {0.5f, 0.1f});
        put("array", "double", new double[] {0, 1, 0.1});
        put("array", "boolean", new boolean[] {true, false});
        put("array", "char", "abc\u4e2d".toCharArray());
        put("array", "String", new String[] {"a", null, "b"});
        put("array", "Integer", new Integer[] {1, null});
        put("array", "Object", new Object[] {1, "x", null, new Tag("t", 1)});
        put("array", "Date", new Date[] {new Date(1)});
        put("array", "BigDecimal", new BigDecimal[] {new BigDecimal("1.5")});
        put("array", "Tag", new Tag[] {new Tag("t", 1), new Tag("u", 2), null});
        put("array", "int_matrix", new int[][] {{1, 2, 3}, {4, 5, 6}, {}});
        put("array", "String_matrix", new String[][] {{"a"}, null});
        put("array", "byte_matrix", new byte[][] {{1}, {2, 3}});
        put("map", "HashMap_empty", new HashMap<>());
        put("map", "HashMap", new HashMap<>(Map.of("foo", "bar")));
        put("map", "HashMap_int_keys", new HashMap<>(Map.of(1, "a")));
        put("map", "HashMap_object_values", new HashMap<>(Map.of("t", new Tag("t", 1))));
        put("map", "HashMap_object_keys", new HashMap<>(Map.of(new Tag("t", 1), "t")));
        HashMap<String, Object> nulls = new HashMap<>();
        nulls.put(null, null);
        put("map", "HashMap_null_null", nulls);
        put("map", "LinkedHashMap", new LinkedHashMap<>(Map.of("foo", 1)));
        put("map", "TreeMap", new TreeMap<>(Map.of("a", 1, "b", 2)));
        put("map", "Hashtable", new Hashtable<>(Map.of("a", 1)));
        put("map", "Map_of", Map.of("a", 1));
        put("map", "nested", new HashMap<>(Map.of("m", new TreeMap<>(Map.of("n", new TreeMap<>())))));
    }

    private void objects() throws IOException {
        put("object", "Tag", new Tag("t", 1));
        put("object", "with_superclass", Samples.dish(3));
        put("object", "with_superclass_empty", new Dish());
        put("object", "Order", Order.sample());
        put("object", "Everything", Samples.everything(1));
        put("object", "Everything_null", new Everything());
        put("object", "interface_fields", Samples.drawer());
        put("object", "AtomicLong", new AtomicLong(7));
        put("object", "AtomicInteger", new AtomicInteger(7));
        put("object", "list_of_same_class", new ArrayList<>(Samples.dishes(3)));
        List<Object> manyClasses = new ArrayList<>(List.of(new Tag("t", 1), new Knife(1.5), new Pan(1, true), new Node("n"), new Dish(), new Item(),
            new Everything(), new Drawer(), new Times(), Spice.SALT, new BigDecimal("1"), BigInteger.ONE, Locale.US, new AtomicLong(1),
            new AtomicInteger(1), Samples.times().localDate, Samples.times().instant, new Tag("again", 2), Samples.times().instant));
        put("object", "more_than_16_classes", manyClasses);

        Tag shared = new Tag("shared", 1);
        put("reference", "same_object_twice", new ArrayList<>(List.of(shared, shared)));
        put("reference", "equal_objects", new ArrayList<>(List.of(new Tag("e", 1), new Tag("e", 1))));
        Date date = new Date(5);
        put("reference", "same_date_twice", new ArrayList<>(List.of(date, date)));
        BigDecimal decimal = new BigDecimal("1.5");
        put("reference", "same_decimal_twice", new ArrayList<>(List.of(decimal, decimal)));
        int[] numbers = {1};
        put("reference", "same_array_twice", new Object[] {numbers, numbers});
        byte[] bytes = {1};
        put("reference", "same_bytes_twice", new Object[] {bytes, bytes});
        Map<String, Object> map = new HashMap<>();
        map.put("self", map);
        put("reference", "map_holds_itself", map);
        List<Object> list = new ArrayList<>();
        list.add(list);
        put("reference", "list_holds_itself", list);
        put("reference", "cycle", Samples.cycle());
        put("reference", "ring_300", new KitchenImpl().ring(300));
        List<Object> many = new ArrayList<>();
        for (int i = 0; i < 66_000; i++) {
            many.add(new Tag(null, i));
        }
        many.add(many.get(10));
        many.add(many.get(300));
        many.add(many.get(65_990));
        put("reference", "u8_u16_and_i32", many);
        put("reference", "after_time_handles", new ArrayList<>(List.of(Samples.times().zonedDateTime, Samples.times().localDateTime, shared, shared)));

        put("exception", "KitchenException", withoutStack(new KitchenException("closed", 451)));
        put("exception", "KitchenException_with_stack", withStack(new KitchenException("closed", 451)));
        put("exception", "IOException", withoutStack(new IOException("this is an IOException")));
        put("exception", "cause", withoutStack(new KitchenException("late", 7, withoutStack(new IllegalArgumentException("why")))));
        put("exception", "null_message", withoutStack(new IllegalStateException()));
        Exception suppressing = withoutStack(new IllegalStateException("main"));
        suppressing.addSuppressed(withoutStack(new IOException("beside")));
        put("exception", "suppressed", suppressing);
        put("exception", "UndeclaredThrowableException", withoutStack(new UndeclaredThrowableException(withoutStack(new IOException("inner")), "outer")));
    }

    private static <T extends Throwable> T withoutStack(T exception) {
        exception.setStackTrace(new StackTraceElement[0]);
        return exception;
    }

    private static <T extends Throwable> T withStack(T exception) {
        exception.setStackTrace(new StackTraceElement[] {new StackTraceElement("com.diwan.Cook", "fry", "Cook.java", 12),
            new StackTraceElement("app", "java.base", "17", "java.lang.Thread", "run", null, -2)});
        return exception;
    }
}
