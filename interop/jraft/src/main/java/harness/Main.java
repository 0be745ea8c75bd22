package harness;

import java.util.Arrays;

public final class Main {
    public static void main(String[] argv) throws Exception {
        if (argv.length == 0) {
            System.err.println("usage: jraft node|bench|kv|failover|cli|console ... (see README.md)");
            System.exit(2);
        }
        Args args = new Args(Arrays.copyOfRange(argv, 1, argv.length));
        switch (argv[0]) {
            case "node" -> Node.run(args);
            case "bench" -> Bench.run(args);
            case "kv" -> Kv.run(args);
            case "failover" -> Failover.run(args);
            case "cli" -> Cli.run(args);
            case "console" -> Console.run();
            default -> throw new IllegalArgumentException("no mode " + argv[0]);
        }
    }

    private Main() {
    }
}
