import java.io.ByteArrayOutputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.lang.reflect.Method;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.*;
import java.util.*;
import java.util.concurrent.atomic.*;

/**
 * Writes one value of each kind with a Java Hessian and prints "name hex" lines: what golden.rs compares with.
 *
 * java -cp hessian-3.5.5.jar:. Golden com.caucho.hessian.io.Hessian2Output > draft.txt
 * java -cp hessian-lite-4.0.3.jar:. Golden com.alibaba.com.caucho.hessian.io.Hessian2Output > final.txt
 *
 * On Java 17 with --add-opens java.base/java.{lang,util,math,time}=ALL-UNNAMED.
 */
public class Golden {
    public enum Color { RED, GREEN { } }

    public static class Entity implements Serializable {
        Date created = new Date(5);
        long id = 9;
        String note = "inherited";
    }

    public static class User extends Entity {
        List<String> roles = new ArrayList<>(List.of("r"));
        String name = "n";
        Integer age = 7;
        Object any = "o";
        byte[] raw = {1, 2};
        transient int skipped = 3;
    }

    public static class Tree implements Serializable {
        String name;
        Tree parent, left, right;

        Tree(String name) {
            this.name = name;
        }
    }

    public static class Numbers implements Serializable {
        byte b = 1;
        short s = 2;
        int i = 3;
        long l = 4;
        float f = 0.5f;
        double d = 0.25;
        boolean z = true;
        char c = 'x';
    }

    public static class OrderException extends Exception {
        int code = 4;
        List<Long> orderIds = new ArrayList<>(List.of(1L, 2L));

        OrderException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    static <T extends Throwable> T at(T throwable, StackTraceElement... stack) {
        throwable.setStackTrace(stack);
        return throwable;
    }

    static String repeat(String text, int times) {
        return String.join("", Collections.nCopies(times, text));
    }

    /** Hex; (..*n) stands for n times the hex in front of the asterisk. */
    static String hex(byte[] bytes) {
        StringBuilder hex = new StringBuilder();
        for (int at = 0; at < bytes.length; ) {
            int unit = 1, times = 1;
            for (int u : new int[] {1, 6}) {
                int n = 1;
                while (at + (n + 1) * u <= bytes.length
                    && Arrays.equals(bytes, at, at + u, bytes, at + n * u, at + (n + 1) * u)) n++;
                if (n * u > times * unit) {
                    unit = u;
                    times = n;
                }
            }
            if (times * unit < 16) unit = times = 1;
            StringBuilder one = new StringBuilder();
            for (int i = at; i < at + unit; i++) one.append(String.format("%02x", bytes[i]));
            hex.append(times == 1 ? one : "(" + one + "*" + times + ")");
            at += unit * times;
        }
        return hex.toString();
    }

    public static void main(String[] args) throws Exception {
        Class<?> writer = Class.forName(args[0]);
        Map<String, Object[]> cases = new LinkedHashMap<>();
        int[] ints = {0, -16, -17, 47, 48, -2048, -2049, 2047, 2048, -262144, -262145, 262143, 262144,
            Integer.MIN_VALUE, Integer.MAX_VALUE};
        long[] longs = {0, -8, -9, 15, 16, -2048, -2049, 2047, 2048, -262144, -262145, 262143, 262144,
            Integer.MIN_VALUE, Integer.MAX_VALUE, Integer.MIN_VALUE - 1L, Integer.MAX_VALUE + 1L, Long.MIN_VALUE};
        double[] doubles = {0, -0.0, 1, -1, 127, 128, -128, -129, 32767, 32768, -32768, -32769, 0.5, 0.1, 12.375,
            1e10, 2147483.647, 2147483.648, 1e300, Double.NaN, Double.POSITIVE_INFINITY, Double.MIN_VALUE,
            Float.MAX_VALUE};
        for (int i : ints) cases.put("int:" + i, new Object[] {i});
        for (long l : longs) cases.put("long:" + l, new Object[] {l});
        for (double d : doubles) cases.put("double:" + d, new Object[] {d});
        for (long t : new long[] {0, 1, 60000, 894621091000L, 894621060000L, -60000, -1, 128849018880000L,
            -128849018880000L}) cases.put("date:" + t, new Object[] {new Date(t)});
        for (int n : new int[] {0, 31, 32, 1023, 1024, 32768, 32769, 65537}) cases.put("string:" + n,
            new Object[] {repeat("a", n)});
        cases.put("string:pairs", new Object[] {repeat("\ud83d\ude00", 20000)});
        cases.put("string:odd-pairs", new Object[] {"a" + repeat("\ud83d\ude00", 20000)});
        cases.put("string:lone", new Object[] {"a\ud83db\u0000\u00e9\u4e2d"});
        for (int n : new int[] {0, 15, 16, 1023, 1024, 4093, 4094, 32768, 32769}) cases.put("bytes:" + n,
            new Object[] {repeat("\1", n).getBytes("ISO-8859-1")});
        cases.put("bool", new Object[] {true, false, null});
        cases.put("list:empty", new Object[] {new ArrayList<>()});
        cases.put("list:ints", new Object[] {new ArrayList<>(List.of(1, 2, 3))});
        cases.put("list:8", new Object[] {new ArrayList<>(List.of(1, 2, 3, 4, 5, 6, 7, 8))});
        cases.put("list:256", new Object[] {new ArrayList<>(Collections.nCopies(256, 1))});
        cases.put("list:linked", new Object[] {new LinkedList<>(List.of("a")), new LinkedList<>(List.of("b"))});
        cases.put("set", new Object[] {new HashSet<>(List.of("a")), new TreeSet<>(List.of("b"))});
        cases.put("map", new Object[] {new HashMap<>(Map.of("k", 1)), new TreeMap<>(Map.of("k", 1)),
            new TreeMap<>(Map.of("k", 1)), new HashMap<>()});
        cases.put("array:int", new Object[] {new int[] {1, 2}, new int[0]});
        cases.put("array:string", new Object[] {new String[] {"a", null}});
        cases.put("array:long", new Object[] {new long[] {1}, new double[] {1}, new short[] {1}, new boolean[] {true},
            new float[] {1}});
        cases.put("array:object", new Object[] {new Object[] {1, "a"}});
        cases.put("array:tree", new Object[] {new Tree[] {null}});
        cases.put("array:nested", new Object[] {new int[][] {{1}, {2}}, new String[][] {{"a"}}});
        cases.put("array:date", new Object[] {new Date[] {new Date(0)}});
        cases.put("chars", new Object[] {'x', new char[] {'a', 'b'}});
        cases.put("enum", new Object[] {Color.RED, Color.GREEN, Color.RED});
        cases.put("decimal", new Object[] {new BigDecimal("12345678.90"), new BigDecimal("1E+30")});
        cases.put("integer:big", new Object[] {new BigInteger("-123456789012345678901234567890"), BigInteger.ZERO});
        cases.put("locale", new Object[] {Locale.SIMPLIFIED_CHINESE, Locale.ENGLISH});
        cases.put("class", new Object[] {String.class, int.class});
        cases.put("numbers", new Object[] {new Numbers()});
        cases.put("user", new Object[] {new User()});
        Tree root = new Tree("root");
        root.left = new Tree("left");
        root.left.parent = root;
        root.left.left = root.right = new Tree("leaf");
        cases.put("tree", new Object[] {root, root.right});
        List<Object> self = new ArrayList<>();
        self.add(self);
        cases.put("list:self", new Object[] {self});
        List<Object> many = new ArrayList<>();
        for (int i = 0; i < 300; i++) many.add(new ArrayList<>());
        many.add(many.get(254));
        many.add(many.get(255));
        many.add(many.get(299));
        cases.put("references", new Object[] {many});
        StackTraceElement frame = new StackTraceElement("com.x.Main", "run", "Main.java", 12);
        cases.put("exception", new Object[] {at(new java.io.IOException("disk"), frame)});
        cases.put("exception:cause", new Object[] {
            at(new OrderException("no stock", at(new IllegalStateException("inner"))), frame)});
        cases.put("local-date", new Object[] {LocalDate.of(2020, 3, 27)});
        cases.put("local-time", new Object[] {LocalTime.of(1, 2, 3, 4)});
        cases.put("local-date-time", new Object[] {LocalDateTime.of(2020, 3, 27, 1, 2, 3, 4)});
        cases.put("instant", new Object[] {Instant.ofEpochSecond(5, 6)});
        cases.put("duration", new Object[] {Duration.ofSeconds(5, 6)});
        cases.put("period", new Object[] {Period.of(1, 2, 3)});
        cases.put("year", new Object[] {Year.of(2020)});
        cases.put("year-month", new Object[] {YearMonth.of(2020, 3)});
        cases.put("month-day", new Object[] {MonthDay.of(3, 27)});
        cases.put("zone-offset", new Object[] {ZoneOffset.ofHours(8)});
        cases.put("zone-id", new Object[] {ZoneId.of("Asia/Shanghai")});
        cases.put("offset-time", new Object[] {OffsetTime.of(1, 2, 3, 4, ZoneOffset.ofHours(8))});
        cases.put("offset-date-time", new Object[] {
            OffsetDateTime.of(2020, 3, 27, 1, 2, 3, 4, ZoneOffset.ofHours(8))});
        cases.put("zoned-date-time", new Object[] {
            ZonedDateTime.of(2020, 3, 27, 1, 2, 3, 4, ZoneId.of("Asia/Shanghai"))});
        cases.put("atomic", new Object[] {new AtomicInteger(1), new AtomicLong(2), new AtomicBoolean(true)});
        cases.put("sql", new Object[] {new java.sql.Timestamp(1234), new java.sql.Date(0)});
        cases.put("string-builder", new Object[] {new StringBuilder("b")});

        Method write = writer.getMethod("writeObject", Object.class);
        Method flush = writer.getMethod("flush");
        for (Map.Entry<String, Object[]> entry : cases.entrySet()) {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            Object out = writer.getConstructor(OutputStream.class).newInstance(bytes);
            try {
                for (Object value : entry.getValue()) write.invoke(out, value);
                flush.invoke(out);
            } catch (java.lang.reflect.InvocationTargetException e) {
                System.err.println(entry.getKey() + ": " + e.getCause());
                continue;
            }
            System.out.println(entry.getKey() + " " + hex(bytes.toByteArray()));
        }
    }
}
