package harness;

import com.alipay.sofa.registry.client.api.Publisher;
import com.alipay.sofa.registry.client.api.RegistryClient;
import com.alipay.sofa.registry.client.api.model.UserData;
import com.alipay.sofa.registry.client.api.registration.PublisherRegistration;
import com.alipay.sofa.registry.client.api.registration.SubscriberRegistration;
import com.alipay.sofa.registry.core.model.ScopeEnum;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Clients whose registry is killed and started again while they watch: each comes back by itself, in whatever order. It says READY when all
 * know each other. Nobody may be told a list that misses one of them, and in the end all are told what all publish then.
 */
final class Restart {
    private static final long PATIENCE_MS = 60_000;

    private final Endpoint endpoint;
    private final int publishers;
    private final int subscribers;
    private final int seconds;
    private final String dataId = "harness.restart." + java.util.UUID.randomUUID();
    private final List<Seen> all = new ArrayList<>();

    Restart(Map<String, String> options) {
        endpoint = Endpoint.parse(Options.required(options, "endpoint"));
        publishers = Options.number(options, "publishers", 8);
        subscribers = Options.number(options, "subscribers", 3);
        seconds = Options.number(options, "seconds", 20);
    }

    boolean run() throws InterruptedException {
        List<Publisher> publishing = new ArrayList<>();
        for (int i = 0; i < publishers; i++) {
            RegistryClient client = endpoint.connect("harness-restart-pub-" + i);
            publishing.add(client.register(new PublisherRegistration(dataId), i + ":before"));
        }
        for (int i = 0; i < subscribers; i++) {
            Seen seen = new Seen();
            all.add(seen);
            SubscriberRegistration registration = new SubscriberRegistration(dataId, seen::handle);
            registration.setScopeEnum(ScopeEnum.global);
            endpoint.connect("harness-restart-sub-" + i).register(registration);
        }
        if (!everybodySees("before")) {
            System.out.println("FAIL not everybody is known: " + all);
            return false;
        }
        all.forEach(Seen::watch);
        System.out.println("READY");
        System.out.flush();
        Thread.sleep(seconds * 1000L);
        for (int i = 0; i < publishers; i++) {
            publishing.get(i).republish(i + ":after");
        }
        boolean back = everybodySees("after");
        boolean complete = all.stream().allMatch(seen -> seen.fewest >= publishers);
        System.out.println((back && complete ? "PASS " : "FAIL ") + publishers + " publishers, lists with at least " + all
                + (back ? "" : "; not all are known in the end"));
        return back && complete;
    }

    private boolean everybodySees(String what) throws InterruptedException {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!all.stream().allMatch(seen -> seen.has(what))) {
            if (System.currentTimeMillis() > end) {
                return false;
            }
            Thread.sleep(50);
        }
        return true;
    }

    /** What a subscriber was told. */
    private final class Seen {
        private final Map<String, Boolean> now = new ConcurrentHashMap<>();
        private volatile int fewest = Integer.MAX_VALUE;
        private volatile boolean watched;

        void watch() {
            watched = true;
        }

        synchronized void handle(String id, UserData data) {
            Set<String> owners = new TreeSet<>();
            now.clear();
            for (List<String> zone : data.getZoneData().values()) {
                for (String value : zone) {
                    now.put(value, true);
                    owners.add(value.substring(0, value.indexOf(':')));
                }
            }
            if (watched) {
                fewest = Math.min(fewest, owners.size());
            }
        }

        synchronized boolean has(String what) {
            return now.keySet().stream().filter(value -> value.endsWith(":" + what)).count() == publishers;
        }

        @Override
        public String toString() {
            return watched ? Integer.toString(fewest) : now.keySet().toString();
        }
    }
}
