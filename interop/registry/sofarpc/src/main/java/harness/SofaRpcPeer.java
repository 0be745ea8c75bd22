package harness;

import com.alipay.sofa.rpc.config.ApplicationConfig;
import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.RegistryConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.alipay.sofa.rpc.core.exception.SofaRpcException;
import java.util.List;
import java.util.Map;

/**
 * One side of SOFARPC over a SOFARegistry or ZooKeeper, for a peer of another kind.
 * usage: provide --endpoint HOST:9603 --unique-id ID --port PORT      until it is killed
 *        consume --endpoint HOST:9603 --unique-id ID --providers N    calls until one of N providers has gone
 * with --zookeeper HOST:2181/root in place of --endpoint
 */
public final class SofaRpcPeer {
    private static final long TIMEOUT_MS = 30_000;
    private static final Map<String, String> PROTOCOLS = Map.of("--endpoint", "sofa", "--zookeeper", "zookeeper");

    public interface Echo {
        String echo(String text);
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 7 || !PROTOCOLS.containsKey(args[1]) || !args[3].equals("--unique-id")) {
            System.err.println("usage: provide|consume --endpoint HOST:9603|--zookeeper HOST:2181/root --unique-id ID --port PORT|--providers N");
            System.exit(2);
        }
        RegistryConfig registry = new RegistryConfig().setProtocol(PROTOCOLS.get(args[1])).setAddress(args[2]);
        int number = Integer.parseInt(args[6]);
        if (args[0].equals("provide")) {
            provide(registry, args[4], number);
        } else {
            System.exit(consume(registry, args[4], number) ? 0 : 1);
        }
    }

    private static void provide(RegistryConfig registry, String uniqueId, int port) throws InterruptedException {
        new ProviderConfig<Echo>()
                .setApplication(new ApplicationConfig().setAppName("harness-peer"))
                .setInterfaceId(Echo.class.getName())
                .setUniqueId(uniqueId)
                .setRef(text -> text)
                .setServer(new ServerConfig().setProtocol("bolt").setHost("0.0.0.0").setPort(port))
                .setRegistry(List.of(registry))
                .setWeight(70)
                .setTimeout(2_000)
                .export();
        System.out.println("listening on " + port);
        Thread.currentThread().join();
    }

    /** No call may fail, though nothing is tried again: SOFARPC's default. */
    private static boolean consume(RegistryConfig registry, String uniqueId, int providers) throws InterruptedException {
        ConsumerConfig<Echo> consumer = new ConsumerConfig<Echo>()
                .setApplication(new ApplicationConfig().setAppName("harness-peer"))
                .setRegistry(registry)
                .setInterfaceId(Echo.class.getName())
                .setUniqueId(uniqueId)
                .setProtocol("bolt")
                .setInJVM(false)
                .setCheck(false)
                .setTimeout(3_000);
        Echo echo = consumer.refer();
        if (!await(consumer, providers)) {
            System.out.println("WRONG providers: not " + providers + " of them came");
            return false;
        }
        long calls = 0;
        long deadline = System.nanoTime() + TIMEOUT_MS * 1_000_000;
        long end = Long.MAX_VALUE;
        boolean ready = false;
        while (System.nanoTime() < end) {
            if (System.nanoTime() > deadline) {
                System.out.println("WRONG providers: all are still there");
                return false;
            }
            String text = "call " + calls;
            try {
                if (!text.equals(echo.echo(text))) {
                    System.out.println("WRONG call: another answer");
                    return false;
                }
            } catch (SofaRpcException e) {
                // Before it has connected to all of them a first call may fail.
                if (ready) {
                    System.out.println("WRONG call " + calls + ": " + e);
                    return false;
                }
            }
            if (++calls == 1_000) {
                ready = true;
                System.out.println("ready");
            }
            if (end == Long.MAX_VALUE && size(consumer) < providers) {
                // Long enough for the provider that has gone to have stopped.
                end = System.nanoTime() + 3_000_000_000L;
            }
        }
        System.out.println("ok " + calls + " calls");
        return ready;
    }

    private static boolean await(ConsumerConfig<Echo> consumer, int providers) throws InterruptedException {
        long deadline = System.nanoTime() + TIMEOUT_MS * 1_000_000;
        while (size(consumer) != providers) {
            if (System.nanoTime() > deadline) {
                return false;
            }
            Thread.sleep(1);
        }
        return true;
    }

    private static int size(ConsumerConfig<Echo> consumer) {
        return consumer.getConsumerBootstrap().getCluster().getAddressHolder().getAllProviderSize();
    }
}
