package com.diwan.interop;

import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.diwan.bench.Echo;
import com.diwan.bench.EchoImpl;

final class KitchenServer {
    /** {@code pool} is CORE,MAX,QUEUE or null for SOFARPC's default of 20,200,0. */
    static void run(int port, String pool) throws InterruptedException {
        ServerConfig server = new ServerConfig().setProtocol("bolt").setHost("127.0.0.1").setPort(port).setDaemon(false);
        if (pool != null) {
            String[] sizes = pool.split(",");
            server.setCoreThreads(Integer.parseInt(sizes[0])).setMaxThreads(Integer.parseInt(sizes[1]))
                .setQueues(Integer.parseInt(sizes[2]));
        }
        export(server, Echo.class, new EchoImpl(), null);
        export(server, Kitchen.class, new KitchenImpl(), null);
        export(server, PbKitchen.class, new PbKitchenImpl(), null);
        // Its own counter: a server that ignores the uniqueId is found out.
        export(server, Kitchen.class, new KitchenImpl(), "annex");
        System.out.println("listening on 127.0.0.1:" + port);
        Thread.currentThread().join();
    }

    private static <T> void export(ServerConfig server, Class<T> type, T service, String uniqueId) {
        ProviderConfig<T> provider = new ProviderConfig<T>().setInterfaceId(type.getName()).setVersion("1.0").setRef(service)
            .setServer(server).setRegister(false);
        if (uniqueId != null) {
            provider.setUniqueId(uniqueId);
        }
        provider.export();
    }
}
