package com.diwan.interop;

import com.alipay.remoting.BizContext;
import com.alipay.remoting.Connection;
import com.alipay.remoting.InvokeCallback;
import com.alipay.remoting.InvokeContext;
import com.alipay.remoting.exception.RemotingException;
import com.alipay.remoting.rpc.RpcClient;
import com.alipay.remoting.rpc.RpcServer;
import com.alipay.remoting.rpc.exception.InvokeServerException;
import com.alipay.remoting.rpc.exception.InvokeTimeoutException;
import com.alipay.remoting.rpc.protocol.SyncUserProcessor;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * SOFABolt without SOFARPC, between two classes of its own. The server answers a {@link Greeting} with the text backwards
 * and the count plus one; some texts ask for more: "count" for the number of oneway greetings that came, "sleep" to wait
 * {@code count} ms first, "throw" to fail, "call me" to be called on the same connection and get that answer.
 */
final class Bolt {
    static void server(int port) throws InterruptedException {
        RpcServer server = new RpcServer("127.0.0.1", port, true);
        server.registerUserProcessor(new Processor(server));
        server.startup();
        System.out.println("listening on 127.0.0.1:" + port);
        Thread.currentThread().join();
    }

    private static final class Processor extends SyncUserProcessor<Greeting> {
        private final RpcServer server;
        private final AtomicInteger oneway = new AtomicInteger();

        Processor(RpcServer server) {
            this.server = server;
        }

        @Override
        public Object handleRequest(BizContext context, Greeting greeting) throws Exception {
            switch (greeting.text) {
                case "oneway" -> oneway.incrementAndGet();
                case "count" -> {
                    return new Greeting("count", oneway.get());
                }
                case "sleep" -> Thread.sleep(greeting.count);
                case "throw" -> throw new IllegalStateException("thrown " + greeting.count);
                case "call me" -> {
                    return server.invokeSync(context.getConnection(), new Greeting("from the server", greeting.count), 2000);
                }
                default -> {
                }
            }
            return answer(greeting);
        }

        @Override
        public String interest() {
            return Greeting.class.getName();
        }
    }

    private static Greeting answer(Greeting greeting) {
        return new Greeting(new StringBuilder(greeting.text).reverse().toString(), greeting.count + 1);
    }

    /** True when every case is right. */
    static boolean client(String address) {
        boolean ok = cases("bolt-v1", address + "?_PROTOCOL=1", 1);
        ok &= cases("bolt-v2", address + "?_PROTOCOL=2&_VERSION=1", 2);
        ok &= cases("bolt-v2-crc", address + "?_PROTOCOL=2&_VERSION=2", 2);
        return ok;
    }

    /** A client of its own for each protocol: one pools its connections by host and port, whatever the protocol asked for. */
    private static RpcClient newClient() {
        RpcClient client = new RpcClient();
        client.registerUserProcessor(new SyncUserProcessor<Greeting>() {
            @Override
            public Object handleRequest(BizContext context, Greeting greeting) {
                return new Greeting("client got: " + greeting.text, greeting.count * 2);
            }

            @Override
            public String interest() {
                return Greeting.class.getName();
            }
        });
        client.startup();
        return client;
    }

    private static boolean cases(String prefix, String url, int protocol) {
        RpcClient client = newClient();
        Map<String, KitchenClient.Case> cases = new LinkedHashMap<>();
        cases.put("sync", () -> same(new Greeting("gnirts", 8), client.invokeSync(url, new Greeting("string", 7), 3000)));
        cases.put("future", () -> same(new Greeting("erutuf", 1), client.invokeWithFuture(url, new Greeting("future", 0), 3000).get(3000)));
        cases.put("callback", () -> {
            BlockingQueue<Object> answers = new LinkedBlockingQueue<>();
            client.invokeWithCallback(url, new Greeting("abc", 1), new InvokeCallback() {
                @Override
                public void onResponse(Object answer) {
                    answers.add(answer);
                }

                @Override
                public void onException(Throwable exception) {
                    answers.add(exception);
                }

                @Override
                public Executor getExecutor() {
                    return null;
                }
            }, 3000);
            same(new Greeting("cba", 2), answers.poll(3, TimeUnit.SECONDS));
        });
        cases.put("oneway", () -> {
            int before = ((Greeting) client.invokeSync(url, new Greeting("count", 0), 3000)).count;
            for (int i = 0; i < 3; i++) {
                client.oneway(url, new Greeting("oneway", 0));
            }
            long deadline = System.nanoTime() + 3_000_000_000L;
            int now;
            do {
                Thread.sleep(20);
                now = ((Greeting) client.invokeSync(url, new Greeting("count", 0), 3000)).count;
            } while (now != before + 3 && System.nanoTime() < deadline);
            same("" + (before + 3), "" + now);
        });
        cases.put("no-crc", () -> {
            InvokeContext context = new InvokeContext();
            context.put(InvokeContext.BOLT_CRC_SWITCH, false);
            same(new Greeting("crc-on", 1), client.invokeSync(url, new Greeting("no-crc", 0), context, 3000));
        });
        cases.put("timeout", () -> {
            try {
                same("nothing", client.invokeSync(url, new Greeting("sleep", 600), 300));
            } catch (InvokeTimeoutException expected) {
                Thread.sleep(500);
                same(new Greeting("x", 1), client.invokeSync(url, new Greeting("x", 0), 3000));
            }
        });
        cases.put("exception", () -> {
            try {
                same("nothing", client.invokeSync(url, new Greeting("throw", 5), 3000));
            } catch (InvokeServerException e) {
                same("true", "" + String.valueOf(e.getCause()).contains("thrown 5"));
            }
        });
        cases.put("no-processor", () -> {
            try {
                same("nothing", client.invokeSync(url, new Tag("nobody", 1), 3000));
            } catch (InvokeServerException e) {
                same("true", "" + String.valueOf(e.getCause()).contains(Tag.class.getName()));
            }
        });
        cases.put("server-calls", () -> same(new Greeting("client got: from the server", 42), client.invokeSync(url, new Greeting("call me", 21), 3000)));
        cases.put("one-connection", () -> {
            Connection first = client.getConnection(url, 1000);
            same("true", "" + (first == client.getConnection(url, 1000) && first.isFine()));
            same("" + protocol, "" + first.getChannel().attr(Connection.PROTOCOL).get().getFirstByte());
        });
        boolean ok = true;
        for (Map.Entry<String, KitchenClient.Case> entry : cases.entrySet()) {
            String name = prefix + "-" + entry.getKey();
            Marks.tell(name);
            try {
                entry.getValue().run();
                System.out.println("ok " + name);
            } catch (Throwable e) {
                ok = false;
                System.out.println("WRONG " + name + ": " + (e instanceof RemotingException && e.getCause() != null ? e + " because of " + e.getCause() : e));
            }
        }
        client.shutdown();
        return ok;
    }

    private static void same(Object expected, Object actual) {
        if (!Text.of(expected).equals(Text.of(actual))) {
            throw new KitchenClient.Wrong("expected " + Text.of(expected) + " but got " + Text.of(actual));
        }
    }
}
