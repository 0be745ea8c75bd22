package harness;

import com.alipay.sofa.jraft.entity.PeerId;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicInteger;

/** Puts unique keys, each its own value, and repeats each until it is acknowledged, wherever the leader is. */
final class Writer {
    private static final int THREADS = 16;
    private static final int TIMEOUT_MS = 1000;

    /** Each of the threads rests so long after a put. */
    int pauseMs;
    private final Client client;
    private final String prefix;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger acknowledged = new AtomicInteger();
    private final AtomicInteger repeated = new AtomicInteger();
    private volatile int end = Integer.MAX_VALUE;
    private volatile boolean givenUp;
    private volatile String lastFailure = "";
    private Thread[] threads;

    Writer(Client client, String prefix) {
        this.client = client;
        this.prefix = prefix;
    }

    Cli.Result write(int count, int seconds) throws InterruptedException {
        end = count;
        begin();
        return join(count, seconds);
    }

    void begin() {
        threads = new Thread[THREADS];
        for (int i = 0; i < THREADS; i++) {
            threads[i] = new Thread(this::run, "writer");
            threads[i].setDaemon(true);
            threads[i].start();
        }
    }

    /** Lets what is under way end. */
    Cli.Result end() throws InterruptedException {
        synchronized (this) {
            end = next.get();
        }
        return join(end, 30);
    }

    private Cli.Result join(int count, int seconds) throws InterruptedException {
        long until = System.nanoTime() + seconds * 1_000_000_000L;
        for (Thread thread : threads) {
            thread.join(Math.max(1, (until - System.nanoTime()) / 1_000_000));
        }
        givenUp = true;
        boolean ok = acknowledged.get() == count;
        return new Cli.Result(ok, acknowledged.get() + " of " + count + " acknowledged, " + repeated.get()
                + " attempts failed" + (ok ? "" : ", last: " + lastFailure));
    }

    private void run() {
        while (true) {
            int number;
            synchronized (this) {
                if (next.get() >= end) {
                    return;
                }
                number = next.getAndIncrement();
            }
            byte[] key = (prefix + number).getBytes(StandardCharsets.UTF_8);
            while (!put(key)) {
                if (givenUp) {
                    return;
                }
                repeated.incrementAndGet();
            }
            acknowledged.incrementAndGet();
            pause(pauseMs);
        }
    }

    private boolean put(byte[] key) {
        try {
            PeerId leader = client.leader();
            KvResponse response = client.call(leader, KvRequest.put(key, key), TIMEOUT_MS);
            if (response.status() == KvResponse.OK) {
                return true;
            }
            lastFailure = leader + ": " + response;
            if (response.status() == KvResponse.NOT_LEADER || response.status() == KvResponse.ERROR) {
                client.forget(leader);
            }
        } catch (Exception e) {
            lastFailure = e.toString();
            client.forget(null);
        }
        pause(20);
        return false;
    }

    private void pause(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            givenUp = true;
        }
    }
}
