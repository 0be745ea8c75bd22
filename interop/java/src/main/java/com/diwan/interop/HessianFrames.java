package com.diwan.interop;

import com.alipay.sofa.rpc.codec.sofahessian.GenericSingleClassLoaderSofaSerializerFactory;
import com.alipay.sofa.rpc.codec.sofahessian.SingleClassLoaderSofaSerializerFactory;
import com.caucho.hessian.io.Hessian2Input;
import com.caucho.hessian.io.Hessian2Output;
import com.caucho.hessian.io.SerializerFactory;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** Hessian values of the draft dialect in frames: u32 big-endian length, then the bytes of one value. */
final class HessianFrames {
    private static final SerializerFactory PLAIN = new SingleClassLoaderSofaSerializerFactory();
    private static final SerializerFactory GENERIC = new GenericSingleClassLoaderSofaSerializerFactory();

    /** With {@code generic} classes that this program has not become GenericObjects instead of maps. */
    static byte[] encode(Object value, boolean generic) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Hessian2Output output = new Hessian2Output(bytes);
        output.setSerializerFactory(generic ? GENERIC : PLAIN);
        output.writeObject(value);
        output.close();
        return bytes.toByteArray();
    }

    static Object decode(byte[] bytes, boolean generic) throws IOException {
        Hessian2Input input = new Hessian2Input(new ByteArrayInputStream(bytes));
        input.setSerializerFactory(generic ? GENERIC : PLAIN);
        return input.readObject();
    }

    /** Decodes each frame of stdin and encodes it again; a frame that cannot be decoded comes back as length -1 alone, the reason on stderr. */
    static boolean echo(boolean generic) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        boolean ok = true;
        for (int number = 0;; number++) {
            byte[] frame = next(in);
            if (frame == null) {
                out.flush();
                return ok;
            }
            try {
                byte[] again = encode(decode(frame, generic), generic);
                out.writeInt(again.length);
                out.write(again);
            } catch (IOException | RuntimeException | StackOverflowError e) {
                ok = false;
                System.err.println("frame " + number + ": " + e);
                out.writeInt(-1);
            }
        }
    }

    /** One line per frame: its value as {@link CanonicalText}. */
    static void describe(boolean generic) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        PrintStream out = new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 16));
        for (byte[] frame = next(in); frame != null; frame = next(in)) {
            String line;
            try {
                line = CanonicalText.of(decode(frame, generic), generic ? GENERIC : PLAIN);
            } catch (IOException | RuntimeException | StackOverflowError e) {
                line = "error: " + e;
            }
            out.println(line);
        }
        out.flush();
    }

    /** One line of CanonicalText for a value. */
    static String canonical(Object value) throws IOException {
        return CanonicalText.of(value, PLAIN);
    }

    private static byte[] next(DataInputStream in) throws IOException {
        int length;
        try {
            length = in.readInt();
        } catch (EOFException end) {
            return null;
        }
        return in.readNBytes(length);
    }

    static void generate(long seed, int count) throws IOException {
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        for (int i = 0; i < count; i++) {
            byte[] frame = encode(new Values(new Random(seed * 1_000_003 + i)).value(0), false);
            out.writeInt(frame.length);
            out.write(frame);
        }
        out.flush();
    }

    /** Random values; an object, list or map may be met again further on in the same value. */
    private static final class Values {
        private static final int DEPTH_MAX = 5;
        private static final int[] EDGES = {0, 1, -1, -16, -17, 47, 48, -2048, -2049, 2047, 2048, 262143, 262144, -262144, -262145, 255, 256};

        private final Random random;
        private final List<Object> made = new ArrayList<>();
        /** Keeps nested lists of 300 from multiplying. */
        private int left = 500;

        Values(Random random) {
            this.random = random;
        }

        Object value(int depth) {
            if (!made.isEmpty() && random.nextInt(12) == 0) {
                return made.get(random.nextInt(made.size()));
            }
            return switch (random.nextInt(depth < DEPTH_MAX && left-- > 0 ? 22 : 11)) {
                case 0 -> null;
                case 1 -> random.nextBoolean();
                case 2 -> random.nextBoolean() ? EDGES[random.nextInt(EDGES.length)] : random.nextInt() >> random.nextInt(31);
                case 3 -> random.nextBoolean() ? (long) EDGES[random.nextInt(EDGES.length)] : random.nextLong() >> random.nextInt(63);
                case 4 -> real();
                case 5 -> new Date(random.nextLong() >> (8 + random.nextInt(40)));
                case 6, 7 -> Samples.text(random, random.nextInt(20) == 0 ? 70_000 : 60);
                case 8 -> bytes(random.nextInt(20) == 0 ? 70_000 : 40);
                case 9 -> new BigDecimal(new BigInteger(random.nextInt(90), random), random.nextInt(20) - 5);
                case 10 -> Spice.values()[random.nextInt(3)];
                case 11 -> fill(new ArrayList<>(), depth);
                case 12 -> fill(new LinkedList<>(), depth);
                case 13 -> strings(new HashSet<>());
                case 14 -> map(new HashMap<>(), depth);
                case 15 -> map(new LinkedHashMap<>(), depth);
                case 16 -> made(random.ints(random.nextInt(300)).toArray());
                case 17 -> made(Samples.text(random, 30).split(""));
                case 18 -> node();
                case 19 -> made(dish());
                case 20 -> {
                    Drawer drawer = made(new Drawer());
                    drawer.favourite = random.nextBoolean() ? new Knife(real()) : new Pan(random.nextInt(50), random.nextBoolean());
                    drawer.tools.add(drawer.favourite);
                    drawer.tools.add(null);
                    yield drawer;
                }
                default -> made(new Object[] {value(depth + 1), value(depth + 1)});
            };
        }

        private <T> T made(T container) {
            made.add(container);
            return container;
        }

        private double real() {
            return switch (random.nextInt(6)) {
                case 0 -> EDGES[random.nextInt(EDGES.length)];
                case 1 -> random.nextInt(70_000) - 35_000;
                case 2 -> random.nextFloat();
                case 3 -> new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.MIN_VALUE, Double.MAX_VALUE}[random.nextInt(4)];
                default -> random.nextGaussian() * 1e6;
            };
        }

        private byte[] bytes(int max) {
            byte[] bytes = new byte[random.nextInt(max)];
            random.nextBytes(bytes);
            return bytes;
        }

        private List<Object> fill(List<Object> list, int depth) {
            made(list);
            for (int n = size(); n > 0; n--) {
                list.add(value(depth + 1));
            }
            return list;
        }

        private Set<String> strings(Set<String> set) {
            made(set);
            for (int n = size(); n > 0; n--) {
                set.add(Samples.text(random, 12));
            }
            return set;
        }

        private Map<Object, Object> map(Map<Object, Object> map, int depth) {
            made(map);
            for (int n = size(); n > 0; n--) {
                // Keys without identity: their hash must not depend on what is still being built.
                map.put(random.nextBoolean() ? Samples.text(random, 12) : (Object) random.nextInt(), value(depth + 1));
            }
            return map;
        }

        private int size() {
            return random.nextInt(30) == 0 ? 300 : random.nextInt(7);
        }

        private Node node() {
            Node[] nodes = new Node[1 + random.nextInt(4)];
            for (int i = 0; i < nodes.length; i++) {
                nodes[i] = made(new Node(Samples.text(random, 6)));
            }
            for (Node node : nodes) {
                node.next = nodes[random.nextInt(nodes.length)];
                for (int n = random.nextInt(4); n > 0; n--) {
                    node.peers.add(nodes[random.nextInt(nodes.length)]);
                }
            }
            return nodes[0];
        }

        private Dish dish() {
            Dish dish = Samples.dish(random.nextInt(1000));
            dish.name = Samples.text(random, 40);
            dish.notes = random.nextBoolean() ? null : dish.notes;
            return dish;
        }
    }
}
