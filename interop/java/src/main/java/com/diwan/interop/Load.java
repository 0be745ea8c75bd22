package com.diwan.interop;

import com.alipay.sofa.rpc.config.ConsumerConfig;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** Keeps calling while servers come and go, and counts what fails. */
final class Load {
    /** {@code servers} is HOST:PORT,HOST:PORT,... True when not a single call failed. */
    static boolean run(String servers, int seconds, int threads, int retries) throws InterruptedException {
        List<String> urls = new ArrayList<>();
        for (String server : servers.split(",")) {
            urls.add("bolt://" + server);
        }
        Kitchen kitchen = new ConsumerConfig<Kitchen>().setInterfaceId(Kitchen.class.getName()).setVersion("1.0").setProtocol("bolt")
            .setDirectUrl(String.join(",", urls)).setRegister(false).setTimeout(3000).setRetries(retries).refer();
        AtomicLong calls = new AtomicLong();
        AtomicLong failed = new AtomicLong();
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        List<Thread> callers = new ArrayList<>();
        for (int t = 0; t < threads; t++) {
            int first = t << 20;
            Thread caller = new Thread(() -> {
                for (int n = first; System.nanoTime() < end; n++) {
                    calls.incrementAndGet();
                    try {
                        // A little work under way whenever a server stops.
                        String text = "call-" + n;
                        String answer = n % 4 == 0 ? kitchen.slow(text, 30) : kitchen.echo(text);
                        if (!text.equals(answer)) {
                            throw new IllegalStateException("sent " + text + ", got " + answer);
                        }
                    } catch (RuntimeException e) {
                        if (failed.incrementAndGet() <= 5) {
                            System.out.println("FAILED " + e);
                        }
                    }
                }
            });
            callers.add(caller);
            caller.start();
        }
        for (Thread caller : callers) {
            caller.join();
        }
        System.out.println(calls + " calls, " + failed + " failed");
        return failed.get() == 0 && calls.get() > 0;
    }
}
