package com.diwan.interop;

import com.alipay.remoting.Connection;
import com.alipay.remoting.rpc.RpcClient;
import com.alipay.sofa.rpc.api.GenericService;
import com.alipay.sofa.rpc.api.future.SofaResponseFuture;
import com.alipay.sofa.rpc.common.RpcConstants;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.MethodConfig;
import com.alipay.sofa.rpc.context.RpcInvokeContext;
import com.alipay.sofa.rpc.core.exception.RpcErrorType;
import com.alipay.sofa.rpc.core.exception.SofaRpcException;
import com.alipay.sofa.rpc.core.exception.SofaTimeOutException;
import com.alipay.sofa.rpc.core.invoke.SofaResponseCallback;
import com.alipay.sofa.rpc.core.request.RequestBase;
import com.diwan.bench.Calls;
import com.diwan.bench.Echo;
import com.alipay.hessian.generic.model.GenericObject;
import com.diwan.interop.pb.CookRequest;
import com.diwan.interop.pb.Heat;
import com.google.protobuf.ByteString;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** The cases of the Kitchen service against any server of it. */
final class KitchenClient {
    private static final int TIMEOUT_MS = 5000;

    private final String address;
    private final Map<String, Case> cases = new LinkedHashMap<>();
    /** Cases that need a server set up for them: they run only when named. */
    private final Set<String> special = new HashSet<>();
    /** Knows what the answers should be. */
    private final Kitchen local = new KitchenImpl();
    private final Kitchen kitchen;

    interface Case {
        void run() throws Throwable;
    }

    KitchenClient(String host, int port, int calls, long seed) {
        address = "bolt://" + host + ":" + port;
        kitchen = config(Kitchen.class, Kitchen.class.getName())
            .setMethods(List.of(new MethodConfig().setName("tick").setInvokeType(RpcConstants.INVOKER_TYPE_ONEWAY))).refer();
        values();
        structures();
        failures();
        manners();
        generic();
        connection(host, port);
        protobuf();
        cases.put("echo-service", () -> isTrue("Echo", Calls.checkAll(config(Echo.class, Echo.class.getName())
            .setMethods(List.of(new MethodConfig().setName("oneway").setInvokeType(RpcConstants.INVOKER_TYPE_ONEWAY))).refer(), 10)));
        cases.put("rotation", () -> rotation(calls, seed));
        cases.put("concurrent", () -> concurrent(seed));
    }

    /** True when no case that was run went wrong. */
    boolean run(Set<String> only, Set<String> skip) {
        Set<String> unknown = new HashSet<>(only);
        unknown.addAll(skip);
        unknown.removeAll(cases.keySet());
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("no such case: " + unknown + "; there are " + cases.keySet());
        }
        int wrong = 0;
        int ran = 0;
        for (Map.Entry<String, Case> entry : cases.entrySet()) {
            String name = entry.getKey();
            if (skip.contains(name) || (only.isEmpty() ? special.contains(name) : !only.contains(name))) {
                continue;
            }
            Marks.tell(name);
            ran++;
            try {
                entry.getValue().run();
                System.out.println("ok " + name);
            } catch (Throwable e) {
                wrong++;
                System.out.println("WRONG " + name + ": " + shortened(e instanceof Wrong ? e.getMessage() : e.toString()));
                if (System.getProperty("diwan.trace") != null) {
                    e.printStackTrace(System.out);
                }
            }
        }
        System.out.println(ran + " cases, " + wrong + " wrong");
        return wrong == 0 && ran > 0;
    }

    Set<String> names() {
        return cases.keySet();
    }

    private <T> ConsumerConfig<T> config(Class<T> type, String service) {
        return new ConsumerConfig<T>().setInterfaceId(service).setVersion("1.0").setProtocol("bolt").setDirectUrl(address)
            .setRegister(false).setTimeout(TIMEOUT_MS).setRepeatedReferLimit(-1);
    }

    // ---- scalar values

    private void values() {
        each("boolean", kitchen::not, local::not, List.of(true, false));
        each("byte", kitchen::nextByte, local::nextByte, List.of((byte) 0, (byte) -128, (byte) 127, (byte) 47, (byte) -16));
        each("short", kitchen::nextShort, local::nextShort, List.of((short) 0, Short.MIN_VALUE, Short.MAX_VALUE, (short) 255, (short) -2048));
        each("int", kitchen::nextInt, local::nextInt, List.of(0, -1, -16, -17, 46, 47, 48, 2046, 2047, -2048, -2049, 262142, 262143,
            -262144, -262145, Integer.MIN_VALUE, Integer.MAX_VALUE));
        each("long", kitchen::nextLong, local::nextLong, List.of(0L, -8L, -9L, 14L, 15L, 16L, 2046L, 2047L, -2048L, -2049L, 262142L, 262143L,
            -262145L, 2147483646L, 2147483647L, -2147483648L, -2147483650L, Long.MIN_VALUE, Long.MAX_VALUE));
        each("float", kitchen::halfFloat, local::halfFloat, List.of(0f, 1f, 0.1f, 2f, 255f, 1e30f, Float.MIN_VALUE, Float.MAX_VALUE,
            Float.NaN, Float.POSITIVE_INFINITY));
        each("double", kitchen::halfDouble, local::halfDouble, List.of(0d, 2d, 0.1, 254d, -256d, 65534d, -65536d, 131072d, 1e308,
            Double.MIN_VALUE, Double.NaN, Double.NEGATIVE_INFINITY, Math.PI));
        each("char", kitchen::nextChar, local::nextChar, List.of('a', '\u00e9', '\u4e2d', '\u0000', '\ud7fe'));
        each("boxed", v -> Arrays.asList(kitchen.notBoxed(true), kitchen.nextBoxedByte((byte) 9), kitchen.nextBoxedShort((short) 300),
                kitchen.nextBoxedInt(70_000), kitchen.nextBoxedLong(1L << 40), kitchen.halfBoxedFloat(2.5f), kitchen.halfBoxedDouble(0.3),
                kitchen.nextBoxedChar('k')),
            v -> Arrays.asList(false, 10, 301, 70_001, (1L << 40) + 1, 1.25, 0.15, "l"), List.of(0));
        each("boxed-null", v -> Arrays.asList(kitchen.notBoxed(null), kitchen.nextBoxedByte(null), kitchen.nextBoxedShort(null),
                kitchen.nextBoxedInt(null), kitchen.nextBoxedLong(null), kitchen.halfBoxedFloat(null), kitchen.halfBoxedDouble(null),
                kitchen.nextBoxedChar(null)),
            v -> Arrays.asList(null, null, null, null, null, null, null, null), List.of(0));

        each("string", kitchen::reverse, local::reverse, List.of("", "a", Samples.UNICODE, Calls.text(31), Calls.text(32), Calls.text(1023),
            Calls.text(1024)));
        each("string-null", kitchen::reverse, local::reverse, Collections.singletonList(null));
        each("string-length", kitchen::utf16Length, local::utf16Length, List.of("", Samples.UNICODE, "\ud83d\ude00"));
        each("string-long", kitchen::reverse, local::reverse, List.of(Calls.text(32_768), Calls.text(65_536), Samples.longText(false),
            Samples.longText(true)));
        each("bytes-0", kitchen::flip, local::flip, List.of(new byte[0]));
        each("bytes-15", kitchen::flip, local::flip, List.of(Samples.bytes(15)));
        each("bytes-16", kitchen::flip, local::flip, List.of(Samples.bytes(16)));
        each("bytes-100k", kitchen::flip, local::flip, List.of(Samples.bytes(1023), Samples.bytes(1024), Samples.bytes(100_000)));
        each("bytes-null", kitchen::flip, local::flip, Collections.singletonList(null));
        each("bytes-10mb", kitchen::sum, local::sum, List.of(Samples.bytes(10 << 20)));
        each("bytes-10mb-answer", kitchen::flip, local::flip, List.of(Samples.bytes(10 << 20)));

        each("date", kitchen::nextDay, local::nextDay, Arrays.asList(new Date(0), new Date(-1), new Date(1_585_267_200_123L),
            new Date(1_585_267_200_000L), new Date(-128_849_018_940_000L), null));
        each("big-decimal", kitchen::negate, local::negate, Arrays.asList(new BigDecimal("0"), new BigDecimal("-0.00"), new BigDecimal("12345678.90"),
            new BigDecimal("1E+30"), new BigDecimal("-98765432109876543210.0123456789"), null));
        each("big-integer", kitchen::square, local::square, Arrays.asList(BigInteger.ZERO, BigInteger.valueOf(-3), BigInteger.valueOf(Integer.MIN_VALUE),
            BigInteger.ONE.shiftLeft(31), BigInteger.ONE.shiftLeft(63), new BigInteger("-123456789012345678901234567890"), null));
        each("locale", kitchen::language, local::language, Arrays.asList(Locale.SIMPLIFIED_CHINESE, Locale.US, Locale.GERMAN, null));
        each("local-date", kitchen::nextLocalDate, local::nextLocalDate, Arrays.asList(LocalDate.of(2024, 2, 28), LocalDate.of(-44, 3, 15), null));
        each("local-time", kitchen::nextLocalTime, local::nextLocalTime, Arrays.asList(LocalTime.of(23, 59, 1, 999), LocalTime.MIDNIGHT, null));
        each("local-date-time", kitchen::nextLocalDateTime, local::nextLocalDateTime,
            Arrays.asList(LocalDateTime.of(2023, 12, 31, 23, 0, 0, 1), null));
        each("instant", kitchen::nextInstant, local::nextInstant, Arrays.asList(Instant.EPOCH, Instant.ofEpochSecond(-2, 5), null));
        each("duration", kitchen::twice, local::twice, Arrays.asList(Duration.ofMillis(1500), Duration.ofSeconds(-3, 5), null));
        each("times", kitchen::shift, local::shift, Arrays.asList(Samples.times(), new Times(), null));
    }

    // ---- enums, collections, objects

    private void structures() {
        each("enum", kitchen::nextSpice, local::nextSpice, Arrays.asList(Spice.SALT, Spice.CHILI, null));
        List<Spice> spices = new ArrayList<>(Arrays.asList(Spice.SALT, Spice.CHILI, Spice.SALT, Spice.PEPPER, Spice.SALT));
        each("enum-list", kitchen::nextSpices, local::nextSpices, Arrays.asList(spices, new ArrayList<>(), Arrays.asList(Spice.SALT, null), null));
        each("enum-map", kitchen::countSpices, local::countSpices, Arrays.asList(spices, new ArrayList<>(), null));
        each("list", kitchen::reverseDishes, local::reverseDishes, Arrays.asList(new ArrayList<>(), Samples.dishes(1), Samples.dishes(7),
            Samples.dishes(8), Samples.dishes(300), Arrays.asList(Samples.dish(1), null), List.of(Samples.dish(2)),
            Collections.unmodifiableList(Samples.dishes(2)), null));
        each("linked-list", kitchen::rotateDishes, local::rotateDishes, Arrays.asList(new LinkedList<>(), new LinkedList<>(Samples.dishes(3)), null));
        each("set", kitchen::upperCase, local::upperCase, Arrays.asList(new HashSet<>(), new HashSet<>(List.of("a", "b\u00fc", "c")), null));
        each("set-of-objects", kitchen::heavier, local::heavier, List.of(new HashSet<>(List.of(new Tag("x", 1), new Tag("y", 70_000)))));
        each("map", kitchen::halfPrice, local::halfPrice, Arrays.asList(new HashMap<>(), dishMap(5), new java.util.TreeMap<>(dishMap(3)),
            new LinkedHashMap<>(dishMap(2)), null));
        each("map-int-keys", kitchen::invert, local::invert, List.of(new HashMap<>(Map.of(1, "one", -70_000, "low", 3, "three"))));
        each("string-array", kitchen::reverseStrings, local::reverseStrings, Arrays.asList(new String[0], new String[] {"a", null, "\u4e2d"},
            Calls.text(40).split(""), null));
        each("int-array", kitchen::nextInts, local::nextInts, Arrays.asList(new int[0], new int[] {1, -1, 70_000}, new int[300], null));
        each("long-array", kitchen::nextLongs, local::nextLongs, Arrays.asList(new long[0], new long[] {1, -9, 1L << 40}, null));
        each("double-array", kitchen::halfDoubles, local::halfDoubles, Arrays.asList(new double[0], new double[] {1, 0.1, -1e9}, null));
        each("object-array", kitchen::reverseDishArray, local::reverseDishArray, Arrays.asList(new Dish[0],
            new Dish[] {Samples.dish(1), null, Samples.dish(2)}, null));
        each("int-matrix", kitchen::transpose, local::transpose, Arrays.asList(new int[][] {{1, 2, 3}, {4, 5, 6}}, new int[0][], null));
        each("superclass", kitchen::remake, local::remake, Arrays.asList(Samples.dish(3), new Dish(), null));
        each("interface-field", kitchen::tidy, local::tidy, Arrays.asList(Samples.drawer(), new Drawer(), null));
        each("interface-argument", kitchen::exchange, local::exchange, Arrays.asList(new Knife(12.9), new Pan(30, true), null));
        each("everything", kitchen::transform, local::transform, Arrays.asList(Samples.everything(1), nested(), null));
        each("everything-null", kitchen::transform, local::transform, List.of(new Everything()));

        cases.put("cycle", () -> {
            Node got = kitchen.swapPeers(Samples.cycle());
            equal(Text.graphOf(local.swapPeers(Samples.cycle())), Text.graphOf(got));
            isTrue("the ring closes", got.next.next.next == got);
        });
        cases.put("cycle-null", () -> equal("null", Text.graphOf(kitchen.swapPeers(null))));
        cases.put("cycle-count", () -> equal("3,1,0", kitchen.reach(Samples.cycle()) + "," + kitchen.reach(new Node("x")) + "," + kitchen.reach(null)));
        cases.put("ring", () -> equal(Text.graphOf(local.ring(40)), Text.graphOf(kitchen.ring(40))));
        // next of next of next ..., 400 levels deep on the wire. The stack of a Java peer ends somewhere between 800 and 2000.
        cases.put("deep", () -> {
            equal(400, kitchen.reach(local.ring(400)));
            equal(Text.graphOf(local.ring(400)), Text.graphOf(kitchen.ring(400)));
        });
        cases.put("shared", () -> {
            List<Dish> twins = kitchen.twins(Samples.dish(4));
            equal(Text.graphOf(local.twins(Samples.dish(4))), Text.graphOf(twins));
        });
        cases.put("shared-arguments", () -> {
            Node one = new Node("one");
            equal("true,false", kitchen.same(one, one) + "," + kitchen.same(one, new Node("one")));
        });
        cases.put("object", () -> {
            List<Object> values = Arrays.asList(1, 2L, 1.5, true, "text", null, new Date(7), Samples.bytes(3), Samples.dish(1), Spice.CHILI,
                new ArrayList<>(List.of(1, "x")), new HashMap<>(Map.of("k", 1)), new BigDecimal("1.10"), new int[] {1, 2}, new String[] {"s"},
                new Pan(1, true));
            for (int i = 0; i + 1 < values.size(); i += 2) {
                equal(Text.of(local.pair(values.get(i), values.get(i + 1))), Text.of(kitchen.pair(values.get(i), values.get(i + 1))));
            }
        });
        cases.put("arguments", () -> equal(
            local.join(-5, 1L << 33, 0.5, true, "x\u4e2d", new Date(77), List.of("a", "b"), new BigDecimal("3.10")),
            kitchen.join(-5, 1L << 33, 0.5, true, "x\u4e2d", new Date(77), new ArrayList<>(List.of("a", "b")), new BigDecimal("3.10"))));
        cases.put("void", () -> {
            long before = kitchen.counter();
            kitchen.add(7);
            equal(before + 7, kitchen.counter());
        });
    }

    // ---- what fails, and how

    private void failures() {
        cases.put("exception", () -> {
            try {
                String answer = kitchen.refuse("closed \u4e2d", 451);
                throw new Wrong("an answer: " + answer);
            } catch (KitchenException e) {
                equal("closed \u4e2d,451,null", e.getMessage() + "," + e.getCode() + "," + e.getCause());
            }
        });
        cases.put("exception-cause", () -> {
            try {
                String answer = kitchen.refuseBecause("late", 7);
                throw new Wrong("an answer: " + answer);
            } catch (KitchenException e) {
                equal("late,7", e.getMessage() + "," + e.getCode());
                // SOFARPC's server cuts it off; a server may send it.
                isTrue("the cause is null or right: " + e.getCause(),
                    e.getCause() == null || e.getCause().toString().equals("java.lang.IllegalArgumentException: late:8"));
            }
        });
        cases.put("exception-undeclared", () -> {
            try {
                String answer = kitchen.burn("toast");
                throw new Wrong("an answer: " + answer);
            } catch (IllegalStateException e) {
                equal("toast", e.getMessage());
            }
        });
        cases.put("unknown-service", () -> {
            GenericService nowhere = config(GenericService.class, "com.diwan.interop.Nowhere").setGeneric(true).refer();
            refused(RpcErrorType.SERVER_UNDECLARED_ERROR, "com.diwan.interop.Nowhere:1.0",
                () -> nowhere.$invoke("anything", new String[] {"int"}, new Object[] {1}));
        });
        cases.put("unknown-method", () -> refused(RpcErrorType.SERVER_UNDECLARED_ERROR, "fry",
            () -> anyKitchen().$invoke("fry", new String[] {"int"}, new Object[] {1})));
        cases.put("unknown-signature", () -> refused(RpcErrorType.SERVER_UNDECLARED_ERROR, "nextInt",
            () -> anyKitchen().$invoke("nextInt", new String[] {"java.lang.String"}, new Object[] {"1"})));
        cases.put("timeout", () -> {
            Kitchen hasty = config(Kitchen.class, Kitchen.class.getName()).setTimeout(500).refer();
            long start = System.nanoTime();
            try {
                String answer = hasty.slow("late", 1200);
                throw new Wrong("an answer: " + answer);
            } catch (SofaTimeOutException e) {
                long tookMs = (System.nanoTime() - start) / 1_000_000;
                isTrue("timed out after " + tookMs + " ms", tookMs >= 450 && tookMs < 1100);
            }
            // The late answer arrives in the middle of this; nobody may take it for his own.
            equal("on time", hasty.echo("on time"));
            Thread.sleep(1000);
            equal("after it", hasty.echo("after it"));
        });
        special("busy", () -> {
            // For a server with one thread and no queue.
            Kitchen future = config(Kitchen.class, Kitchen.class.getName()).setInvokeType(RpcConstants.INVOKER_TYPE_FUTURE).refer();
            future.slow("first", 800);
            refused(RpcErrorType.SERVER_BUSY, "", () -> kitchen.echo("second"));
            equal("first", SofaResponseFuture.getResponse(3000, true));
        });
        special("stopping", () -> {
            // For a server that is told to stop while this call runs.
            equal("finished", kitchen.slow("finished", 2000));
        });
    }

    // ---- manners of calling

    private void manners() {
        cases.put("oneway", () -> {
            long before = kitchen.counter();
            for (int i = 1; i <= 5; i++) {
                kitchen.tick(i);
            }
            long deadline = System.nanoTime() + 3_000_000_000L;
            while (kitchen.counter() != before + 15 && System.nanoTime() < deadline) {
                Thread.sleep(20);
            }
            equal(before + 15, kitchen.counter());
        });
        cases.put("future", () -> {
            Kitchen future = config(Kitchen.class, Kitchen.class.getName()).setInvokeType(RpcConstants.INVOKER_TYPE_FUTURE).refer();
            equal(null, future.reverse("abc"));
            equal("cba", SofaResponseFuture.getResponse(3000, true));
            Object sent = future.remake(Samples.dish(5));
            equal(null, sent);
            equal(Text.of(local.remake(Samples.dish(5))), Text.of(SofaResponseFuture.getResponse(3000, true)));
        });
        cases.put("callback", () -> {
            BlockingQueue<Object> answers = new LinkedBlockingQueue<>();
            Kitchen callback = config(Kitchen.class, Kitchen.class.getName()).setInvokeType(RpcConstants.INVOKER_TYPE_CALLBACK)
                .setOnReturn(new Collect(answers)).refer();
            callback.reverse("abc");
            equal("cba", answers.poll(3, TimeUnit.SECONDS));
            callback.refuse("no", 3);
            Object exception = answers.poll(3, TimeUnit.SECONDS);
            isTrue("KitchenException, not " + exception, exception instanceof KitchenException e && e.getCode() == 3);
        });
        cases.put("overtaking", () -> {
            // Two calls under way on one connection: the quick answer does not wait for the slow one.
            BlockingQueue<Object> answers = new LinkedBlockingQueue<>();
            Kitchen callback = config(Kitchen.class, Kitchen.class.getName()).setInvokeType(RpcConstants.INVOKER_TYPE_CALLBACK)
                .setOnReturn(new Collect(answers)).refer();
            callback.slow("slow", 600);
            callback.slow("quick", 0);
            equal("quick", answers.poll(3, TimeUnit.SECONDS));
            equal("slow", answers.poll(3, TimeUnit.SECONDS));
        });
        cases.put("unique-id", () -> {
            Kitchen annex = config(Kitchen.class, Kitchen.class.getName()).setUniqueId("annex").refer();
            long main = kitchen.counter();
            long before = annex.counter();
            annex.add(3);
            equal(main + "," + (before + 3), kitchen.counter() + "," + annex.counter());
        });
        cases.put("baggage", () -> {
            RpcInvokeContext.getContext().putRequestBaggage("order", "42 \u4e2d");
            try {
                equal("42 \u4e2d", kitchen.baggage("order"));
                equal("yes:42 \u4e2d", RpcInvokeContext.getContext().getResponseBaggage("served"));
            } finally {
                RpcInvokeContext.removeContext();
            }
        });
    }

    // ---- generic calls

    private void generic() {
        cases.put("generic-plain", () -> {
            equal(8, anyKitchen().$invoke("nextInt", new String[] {"int"}, new Object[] {7}));
            equal(Text.of(local.remake(Samples.dish(2))),
                Text.of(anyKitchen().$invoke("remake", new String[] {Dish.class.getName()}, new Object[] {Samples.dish(2)})));
        });
        cases.put("generic-object", () -> {
            GenericObject knife = new GenericObject(Knife.class.getName());
            knife.putField("lengthCm", 21.5);
            GenericObject pan = (GenericObject) anyKitchen().$genericInvoke("exchange", new String[] {Tool.class.getName()}, new Object[] {knife});
            equal(Pan.class.getName() + ",21,false", pan.getType() + "," + pan.getField("diameterCm") + "," + pan.getField("lid"));
        });
        cases.put("generic-class", () -> {
            GenericObject knife = new GenericObject(Knife.class.getName());
            knife.putField("lengthCm", 9.0);
            Object pan = anyKitchen().$genericInvoke("exchange", new String[] {Tool.class.getName()}, new Object[] {knife}, Pan.class);
            equal(Text.of(new Pan(9, false)), Text.of(pan));
        });
        cases.put("generic-list", () -> {
            GenericObject tag = new GenericObject(Tag.class.getName());
            tag.putField("text", "t");
            tag.putField("weight", 4);
            Object answer = anyKitchen().$genericInvoke("pair", new String[] {"java.lang.Object", "java.lang.Object"},
                new Object[] {tag, new ArrayList<>(List.of(tag))});
            List<?> pair = (List<?>) answer;
            GenericObject back = (GenericObject) pair.get(1);
            equal(Tag.class.getName() + ",t,4,1", back.getType() + "," + back.getField("text") + "," + back.getField("weight") + ","
                + ((List<?>) pair.get(0)).size());
            isTrue("the object in the list is the argument itself", ((List<?>) pair.get(0)).get(0) == back);
        });
        cases.put("generic-exception", () -> {
            try {
                Object answer = anyKitchen().$invoke("refuse", new String[] {"java.lang.String", "int"}, new Object[] {"no", 5});
                throw new Wrong("an answer: " + answer);
            } catch (Wrong e) {
                throw e;
            } catch (Throwable e) {
                // Undeclared by GenericService, yet it comes as what it is.
                isTrue("KitchenException, not " + e, e instanceof KitchenException k && k.getCode() == 5);
            }
        });
    }

    // ---- protobuf, codec 11

    private void protobuf() {
        PbKitchen remote = config(PbKitchen.class, PbKitchen.class.getName()).setSerialization("protobuf").refer();
        PbKitchen here = new PbKitchenImpl();
        each("protobuf", remote::cook, here::cook, List.of(CookRequest.newBuilder().setDish("x").build(), cookRequest()));
        // SOFARPC's own server takes a message without bytes for none at all and fails.
        special("protobuf-empty", () -> equal(Text.of(here.cook(CookRequest.getDefaultInstance())),
            Text.of(remote.cook(CookRequest.getDefaultInstance()))));
        cases.put("protobuf-error", () -> refused(RpcErrorType.SERVER_UNDECLARED_ERROR, "no fish",
            () -> remote.refuse(CookRequest.newBuilder().setDish("fish").build())));
    }

    private static CookRequest cookRequest() {
        return CookRequest.newBuilder().setDish("dish \u83dc\ud83c\udf5c").setPortions(-1).setRaw(ByteString.copyFrom(Samples.bytes(300)))
            .addNotes("a").addNotes("").addNotes("c").putCounts("k", 1L << 40).setWeightKg(0.3).setHeat(Heat.WARM)
            .setSide(CookRequest.newBuilder().setDish("side").setHeat(Heat.HOT)).build();
    }

    private GenericService anyKitchen() {
        return config(GenericService.class, Kitchen.class.getName()).setGeneric(true).refer();
    }

    // ---- the connection

    private void connection(String host, int port) {
        cases.put("heartbeat", () -> {
            // Main has shortened the idle time. First proof that this can fail: a server that never answers loses the connection.
            RpcClient client = new RpcClient();
            client.startup();
            try (ServerSocket deaf = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
                Connection ignored = client.getConnection("127.0.0.1:" + deaf.getLocalPort(), 1000);
                Connection answered = client.getConnection(host + ":" + port, 1000);
                long deadline = System.nanoTime() + 6_000_000_000L;
                while (ignored.isFine() && System.nanoTime() < deadline) {
                    Thread.sleep(50);
                }
                isTrue("a connection without heartbeat answers is closed", !ignored.isFine());
                Thread.sleep(500);
                isTrue("the idle connection is still open", answered.isFine());
            } finally {
                client.shutdown();
            }
        });
    }

    // ---- many calls

    /** Each call has its own content, and each answer is compared. */
    private void rotation(int calls, long seed) throws Throwable {
        Random random = new Random(seed);
        for (int i = 0; i < calls; i++) {
            String what = "call " + i + " of seed " + seed;
            switch (random.nextInt(10)) {
                case 0 -> {
                    Drawer drawer = Samples.drawer();
                    drawer.tools.add(new Knife(random.nextInt(1000) / 4.0));
                    equalIn(what, Text.of(local.tidy(drawer)), Text.of(kitchen.tidy(drawer)));
                }
                case 1 -> {
                    String text = Samples.text(random, 400);
                    equalIn(what, local.reverse(text), kitchen.reverse(text));
                }
                case 2 -> {
                    int number = random.nextInt() >> random.nextInt(31);
                    equalIn(what, local.nextInt(number), kitchen.nextInt(number));
                }
                case 3 -> {
                    long number = random.nextLong() >> random.nextInt(63);
                    equalIn(what, local.nextLong(number), kitchen.nextLong(number));
                }
                case 4 -> {
                    double number = random.nextBoolean() ? random.nextGaussian() * 1e6 : random.nextInt(70_000) - 35_000;
                    equalIn(what, local.halfDouble(number), kitchen.halfDouble(number));
                }
                case 5 -> {
                    byte[] data = new byte[random.nextInt(3000)];
                    random.nextBytes(data);
                    equalIn(what, Text.of(local.flip(data)), Text.of(kitchen.flip(data)));
                }
                case 6 -> {
                    List<Dish> dishes = new ArrayList<>();
                    for (int n = random.nextInt(12); n > 0; n--) {
                        dishes.add(Samples.dish(random.nextInt(1000)));
                    }
                    equalIn(what, Text.of(local.reverseDishes(dishes)), Text.of(kitchen.reverseDishes(dishes)));
                }
                case 7 -> {
                    Dish dish = Samples.dish(random.nextInt(100_000));
                    dish.name = Samples.text(random, 50);
                    equalIn(what, Text.of(local.remake(dish)), Text.of(kitchen.remake(dish)));
                }
                case 8 -> {
                    Everything all = Samples.everything(random.nextInt(1000));
                    equalIn(what, Text.of(local.transform(all)), Text.of(kitchen.transform(all)));
                }
                default -> {
                    int[] numbers = random.ints(random.nextInt(50)).toArray();
                    equalIn(what, Text.of(local.nextInts(numbers)), Text.of(kitchen.nextInts(numbers)));
                }
            }
        }
    }

    /** Eight callers on one connection, each with content of its own. */
    private void concurrent(long seed) throws Throwable {
        BlockingQueue<String> wrong = new LinkedBlockingQueue<>();
        List<Thread> callers = new ArrayList<>();
        for (int t = 0; t < 8; t++) {
            Random random = new Random(seed * 31 + t);
            Thread caller = new Thread(() -> {
                try {
                    for (int i = 0; i < 50; i++) {
                        String text = Samples.text(random, 300);
                        equalIn("a call of seed " + seed, local.reverse(text), kitchen.reverse(text));
                        Dish dish = Samples.dish(random.nextInt(100_000));
                        equalIn("a call of seed " + seed, Text.of(local.remake(dish)), Text.of(kitchen.remake(dish)));
                    }
                } catch (RuntimeException e) {
                    wrong.add(e.toString());
                }
            });
            callers.add(caller);
            caller.start();
        }
        for (Thread caller : callers) {
            caller.join();
        }
        isTrue(wrong.size() + " callers failed: " + wrong.peek(), wrong.isEmpty());
    }

    // ---- saying what is wrong

    static final class Wrong extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Wrong(String message) {
            super(message);
        }
    }

    private void special(String name, Case body) {
        special.add(name);
        cases.put(name, body);
    }

    /** The remote answer for each input against the local one. */
    private <T, R> void each(String name, Function<T, R> remote, Function<T, R> local, List<? extends T> inputs) {
        cases.put(name, () -> {
            for (T input : inputs) {
                String expected = Text.of(local.apply(input));
                try {
                    equal(expected, Text.of(remote.apply(input)));
                } catch (RuntimeException e) {
                    throw new Wrong("for " + shortened(Text.of(input)) + ": " + (e instanceof Wrong ? e.getMessage() : e.toString()));
                }
            }
        });
    }

    private static void refused(int type, String part, Case call) throws Throwable {
        try {
            call.run();
        } catch (SofaRpcException e) {
            isTrue("error type " + e.getErrorType() + " instead of " + type + ": " + e, e.getErrorType() == type);
            isTrue("\"" + part + "\" in: " + e.getMessage(), e.getMessage() != null && e.getMessage().contains(part));
            return;
        }
        throw new Wrong("an answer instead of an error");
    }

    private static void equalIn(String what, Object expected, Object actual) {
        try {
            equal(expected, actual);
        } catch (Wrong e) {
            throw new Wrong(what + ": " + e.getMessage());
        }
    }

    private static void equal(Object expected, Object actual) {
        String should = String.valueOf(expected);
        String is = String.valueOf(actual);
        if (!should.equals(is)) {
            int at = 0;
            while (at < should.length() && at < is.length() && should.charAt(at) == is.charAt(at)) {
                at++;
            }
            int from = Math.max(0, at - 20);
            throw new Wrong("at " + at + " expected " + shortened(should.substring(from)) + " but got " + shortened(is.substring(from)));
        }
    }

    private static void isTrue(String what, boolean holds) {
        if (!holds) {
            throw new Wrong("not so: " + what);
        }
    }

    private static String shortened(String text) {
        String line = text.replace('\n', ' ').replace('\r', ' ');
        return line.length() <= 300 ? line : line.substring(0, 300) + "...";
    }

    private static Map<String, Dish> dishMap(int size) {
        Map<String, Dish> map = new HashMap<>();
        for (int i = 0; i < size; i++) {
            map.put("key-" + i, Samples.dish(i));
        }
        return map;
    }

    private static Everything nested() {
        Everything outer = Samples.everything(2);
        outer.inner = Samples.everything(3);
        outer.tool = new Pan(31, true);
        return outer;
    }

    private record Collect(BlockingQueue<Object> answers) implements SofaResponseCallback<Object> {
        @Override
        public void onAppResponse(Object answer, String methodName, RequestBase request) {
            answers.add(answer);
        }

        @Override
        public void onAppException(Throwable exception, String methodName, RequestBase request) {
            answers.add(exception);
        }

        @Override
        public void onSofaException(SofaRpcException exception, String methodName, RequestBase request) {
            answers.add(exception);
        }
    }
}
