package com.diwan.interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

public final class Main {
    private static final String USAGE = """
        kitchen-server PORT [--pool CORE,MAX,QUEUE]         Kitchen (also with uniqueId annex) and Echo on 127.0.0.1
        kitchen-client HOST PORT N [--only A,B] [--skip A,B] [--seed S]
                                                            every case, N calls of changing content; exit 1 if one is wrong
        kitchen-cases                                       the names of the cases
        load HOST:PORT,... SECONDS THREADS [--retries N]    calls while servers come and go; exit 1 if one failed
        bolt-server PORT                                    SOFABolt alone, com.diwan.interop.Greeting as request
        bolt-client HOST PORT                               v1, v2, v2 with CRC; calls of the server to the client, too
        vectors DIR                                         draft-dialect Hessian values, one file each, and what they are in index.txt
        hessian-echo [--generic true]                       frames (u32 length, value) from stdin, encoded again to stdout
        hessian-describe [--generic true]                   frames from stdin, one line of canonical text each
        hessian-generate SEED COUNT                         frames of random values to stdout""";

    public static void main(String[] args) throws Exception {
        // Heartbeats soon enough to be seen; before any class of bolt reads it.
        setDefault("bolt.tcp.heartbeat.interval", "300");
        setDefault("invoke.baggage.enable", "true");
        List<String> plain = new ArrayList<>(List.of(args));
        String only = option(plain, "--only");
        String skip = option(plain, "--skip");
        String seed = option(plain, "--seed");
        String pool = option(plain, "--pool");
        boolean generic = "true".equals(option(plain, "--generic"));
        String retries = option(plain, "--retries");
        switch (plain.isEmpty() ? "" : plain.get(0)) {
            case "kitchen-server" -> KitchenServer.run(Integer.parseInt(plain.get(1)), pool);
            case "kitchen-client" -> System.exit(new KitchenClient(plain.get(1), Integer.parseInt(plain.get(2)),
                Integer.parseInt(plain.get(3)), seed == null ? 1 : Long.parseLong(seed)).run(names(only), names(skip)) ? 0 : 1);
            case "kitchen-cases" -> {
                new KitchenClient("127.0.0.1", 1, 0, 0).names().forEach(System.out::println);
                System.exit(0);
            }
            case "load" -> System.exit(Load.run(plain.get(1), Integer.parseInt(plain.get(2)), Integer.parseInt(plain.get(3)),
                retries == null ? 0 : Integer.parseInt(retries)) ? 0 : 1);
            case "bolt-server" -> Bolt.server(Integer.parseInt(plain.get(1)));
            case "bolt-client" -> System.exit(Bolt.client(plain.get(1) + ":" + plain.get(2)) ? 0 : 1);
            case "vectors" -> Vectors.write(plain.get(1));
            case "hessian-echo" -> System.exit(HessianFrames.echo(generic) ? 0 : 1);
            case "hessian-describe" -> HessianFrames.describe(generic);
            case "hessian-generate" -> HessianFrames.generate(Long.parseLong(plain.get(1)), Integer.parseInt(plain.get(2)));
            default -> {
                System.err.println(USAGE);
                System.exit(2);
            }
        }
    }

    private static void setDefault(String key, String value) {
        if (System.getProperty(key) == null) {
            System.setProperty(key, value);
        }
    }

    /** Takes {@code name VALUE} out of the arguments; null when it is not there. */
    private static String option(List<String> args, String name) {
        int at = args.indexOf(name);
        if (at < 0) {
            return null;
        }
        String value = args.get(at + 1);
        args.subList(at, at + 2).clear();
        return value;
    }

    private static Set<String> names(String list) {
        return list == null ? Set.of() : new HashSet<>(List.of(list.split(",")));
    }
}
