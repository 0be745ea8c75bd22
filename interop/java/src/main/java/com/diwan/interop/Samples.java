package com.diwan.interop;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.MonthDay;
import java.time.OffsetDateTime;
import java.time.OffsetTime;
import java.time.Period;
import java.time.Year;
import java.time.YearMonth;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** Arguments for the calls. */
final class Samples {
    /** One, two, three and four bytes in UTF-8, a flag of two pairs, a combining accent, NUL and DEL. */
    static final String UNICODE = "a\u00e9\u4e2d\ud83d\ude00\ud83c\udde8\ud83c\uddf3e\u0301\u0000\u007f\u07ff\u0800\uffff";

    /** More than 64k units; every chunk limit of the encoders falls into a surrogate pair for one of the two parities. */
    static String longText(boolean odd) {
        return (odd ? "x" : "") + "\ud83d\ude00".repeat(35_000) + "\u4e2d\u6587 end";
    }

    static byte[] bytes(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) (i * 31 + (i >> 8));
        }
        return bytes;
    }

    static Dish dish(int n) {
        return new Dish(1_000_000_000_000L + n, "dish-" + n + " \u83dc\ud83c\udf5c", 100 * n + 99, n % 2 == 0, Spice.values()[n % 3],
            new BigDecimal("0.250").multiply(BigDecimal.valueOf(n)), new ArrayList<>(List.of("note " + n, "hot")));
    }

    static List<Dish> dishes(int count) {
        List<Dish> dishes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            dishes.add(dish(i));
        }
        return dishes;
    }

    static Everything everything(int n) {
        Everything e = new Everything();
        e.flag = true;
        e.tiny = (byte) (n - 128);
        e.small = (short) (n - 32768);
        e.number = Integer.MAX_VALUE - 1 - n;
        e.big = Long.MIN_VALUE + n;
        e.ratio = 0.1f * n;
        e.exact = Math.PI * n;
        e.letter = '\u83dc';
        e.boxedFlag = false;
        e.boxedTiny = (byte) n;
        e.boxedSmall = (short) (1000 + n);
        e.boxedNumber = -70_000 - n;
        e.boxedBig = 5_000_000_000L + n;
        e.boxedRatio = -2.5f;
        e.boxedExact = 1e300;
        e.boxedLetter = 'k';
        e.text = UNICODE + n;
        e.raw = bytes(20 + n);
        e.when = new Date(1_585_267_200_123L + n);
        e.price = new BigDecimal("-12345678901234567890.0123456789");
        e.huge = new BigInteger("123456789012345678901234567890").add(BigInteger.valueOf(n));
        e.spice = Spice.PEPPER;
        e.locale = Locale.SIMPLIFIED_CHINESE;
        e.dishes = dishes(3);
        e.tags = new HashSet<>(Set.of("red", "green", "b\u00fcro"));
        e.counts = new HashMap<>(Map.of("one", 1, "many", 100_000 + n));
        e.names = new String[] {"x", null, "z"};
        e.numbers = new int[] {-1, 0, 1, 300_000};
        e.menu = new Dish[] {dish(7), null};
        e.tool = new Knife(12.5);
        e.inner = new Everything();
        return e;
    }

    static Times times() {
        Times t = new Times();
        t.localDate = LocalDate.of(2024, 2, 28);
        t.localTime = LocalTime.of(23, 59, 58, 123_456_789);
        t.localDateTime = LocalDateTime.of(1969, 12, 31, 23, 30, 0, 1);
        t.instant = Instant.ofEpochSecond(-1, 999_999_999);
        t.duration = Duration.ofSeconds(-3, 5);
        t.period = Period.of(1, -2, 3);
        t.year = Year.of(2020);
        t.yearMonth = YearMonth.of(2020, 3);
        t.monthDay = MonthDay.of(2, 29);
        t.offsetDateTime = OffsetDateTime.of(2020, 3, 27, 8, 0, 0, 5, ZoneOffset.ofHoursMinutes(5, 30));
        t.offsetTime = OffsetTime.of(8, 0, 0, 6, ZoneOffset.ofHours(-3));
        t.zonedDateTime = ZonedDateTime.of(2020, 3, 27, 8, 0, 0, 7, ZoneId.of("Asia/Shanghai"));
        t.zoneOffset = ZoneOffset.ofHours(8);
        t.zoneId = ZoneId.of("Europe/Berlin");
        return t;
    }

    static Drawer drawer() {
        Drawer drawer = new Drawer();
        drawer.favourite = new Pan(28, true);
        drawer.tools.addAll(Arrays.asList(new Knife(20.25), new Pan(24, false), null, new Knife(9)));
        return drawer;
    }

    /** a -> b -> c -> a with peers that are shared, and a peer that is the node itself. */
    static Node cycle() {
        Node a = new Node("a");
        Node b = new Node("b");
        Node c = new Node("c");
        a.next = b;
        b.next = c;
        c.next = a;
        a.peers.addAll(List.of(c, a, b));
        b.peers.addAll(List.of(c, c));
        return a;
    }

    /** Text of up to {@code unitsMax} UTF-16 units over all planes. */
    static String text(Random random, int unitsMax) {
        StringBuilder text = new StringBuilder();
        int units = random.nextInt(unitsMax + 1);
        while (text.length() < units) {
            switch (random.nextInt(5)) {
                case 0 -> text.appendCodePoint(0x10000 + random.nextInt(0x100000));
                case 1 -> text.append((char) (0x4e00 + random.nextInt(0x5000)));
                case 2 -> text.append((char) (0x80 + random.nextInt(0x780)));
                default -> text.append((char) (0x20 + random.nextInt(0x5f)));
            }
        }
        return text.toString();
    }
}
