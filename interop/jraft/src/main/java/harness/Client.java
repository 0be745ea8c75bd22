package harness;

import com.alipay.sofa.jraft.RouteTable;
import com.alipay.sofa.jraft.conf.Configuration;
import com.alipay.sofa.jraft.entity.PeerId;
import com.alipay.sofa.jraft.option.CliOptions;
import com.alipay.sofa.jraft.rpc.RpcClient;
import com.alipay.sofa.jraft.rpc.impl.AbstractClientService;
import com.alipay.sofa.jraft.rpc.impl.cli.CliClientServiceImpl;

/** A client of one group, made of JRaft's own parts: RouteTable finds the leader, JRaft's RpcClient carries requests. */
final class Client {
    final String group;
    private Configuration peers;
    private PeerId known;
    final RpcClient rpc;
    private final CliClientServiceImpl service = new CliClientServiceImpl();

    Client(String group, Configuration peers) {
        this.group = group;
        this.peers = peers;
        KvSerializer.register();
        service.init(new CliOptions());
        rpc = ((AbstractClientService) service).getRpcClient();
        RouteTable.getInstance().updateConfiguration(group, peers);
    }

    /** Asks the members until one names a leader; gives up after {@code timeoutMs}. */
    PeerId leader(int timeoutMs) throws Exception {
        long end = System.nanoTime() + timeoutMs * 1_000_000L;
        while (System.nanoTime() < end) {
            if (RouteTable.getInstance().refreshLeader(service, group, 1000).isOk()) {
                PeerId leader = RouteTable.getInstance().selectLeader(group);
                if (leader != null) {
                    return leader;
                }
            }
            Thread.sleep(100);
        }
        throw new IllegalStateException("no leader of " + group + " among " + peers + " within " + timeoutMs + " ms");
    }

    /** Whoever led last, or is found to lead now. */
    synchronized PeerId leader() throws Exception {
        if (known == null) {
            known = leader(3000);
        }
        return known;
    }

    /** {@code leader} leads no more, or nobody knows: it is looked for anew. */
    synchronized void forget(PeerId leader) {
        if (leader == null || leader.equals(known)) {
            known = null;
        }
    }

    /** The members are others now. */
    synchronized void follow(Configuration now) {
        peers = now;
        known = null;
        RouteTable.getInstance().updateConfiguration(group, now);
    }

    KvResponse call(PeerId peer, KvRequest request, int timeoutMs) throws Exception {
        return (KvResponse) rpc.invokeSync(peer.getEndpoint(), request, timeoutMs);
    }
}
