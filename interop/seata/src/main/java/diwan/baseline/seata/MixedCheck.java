package diwan.baseline.seata;

import com.alipay.sofa.rpc.config.ConsumerConfig;
import com.alipay.sofa.rpc.config.ProviderConfig;
import com.alipay.sofa.rpc.config.ServerConfig;
import com.diwan.interop.Participant;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import org.apache.seata.core.context.RootContext;
import org.apache.seata.core.exception.TransactionException;
import org.apache.seata.core.model.BranchType;
import org.apache.seata.core.model.GlobalStatus;
import org.apache.seata.core.model.TransactionManager;
import org.apache.seata.rm.DefaultResourceManager;
import org.apache.seata.rm.tcc.api.BusinessActionContext;

/**
 * Transactions with participants in Java and in Rust, which call each other over SOFARPC: Seata's own filters carry the transaction here,
 * Diwan's there. `--participant bolt://HOST:PORT` is `tx-check serve`.
 */
final class MixedCheck {
    private static final int PATIENCE_MS = 30_000;
    private static final String ACTION = "mixed-account";

    private final TransactionManager tm;
    private final Participant there;
    private final Account here = new Account();
    private int failures;

    private MixedCheck(TransactionManager tm, Participant there) {
        this.tm = tm;
        this.there = there;
    }

    static int run(Options options) throws Exception {
        ConsumerConfig<Participant> consumer = new ConsumerConfig<Participant>()
            .setInterfaceId(Participant.class.getName())
            .setProtocol("bolt")
            .setDirectUrl(options.get("participant", "bolt://127.0.0.1:12200"))
            .setTimeout(PATIENCE_MS);
        MixedCheck check = new MixedCheck(Client.startTm(options.tc()), consumer.refer());
        DefaultResourceManager.get().registerResource(Client.tccResource(ACTION, check.here));
        Client.startRm(options.tc());
        Thread.sleep(500);
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        new ProviderConfig<Participant>()
            .setInterfaceId(Participant.class.getName())
            .setRef(check.here)
            .setServer(new ServerConfig().setProtocol("bolt").setHost("127.0.0.1").setPort(port))
            .export();
        check.all("bolt://127.0.0.1:" + port);
        System.out.println(check.failures == 0 ? "ALL PASS" : check.failures + " FAILED");
        return check.failures;
    }

    private void all(String url) throws Exception {
        expect("begun in Java, committed", "Committed [try 1, commit 1] [try 2, commit 2]", begunHere(1, 2));
        expect("begun in Java, refused in Rust", "Rollbacked [try 3, rollback 3] [rollback -4]", begunHere(3, -4));
        String committed = there.transfer(url, 5, 6);
        expect("begun in Rust, committed", " [try 6, commit 6] [try 5, commit 5]", committed + done());
        String refused = there.transfer(url, 7, -8);
        expect("begun in Rust, refused in Java", "a negative amount [rollback -8] [try 7, rollback 7]", refused + done());
    }

    private String begunHere(long cents, long centsThere) throws TransactionException {
        String xid = tm.begin(Client.APPLICATION, Client.GROUP, "mixed", PATIENCE_MS);
        RootContext.bind(xid);
        String wrong;
        try {
            wrong = here.change(cents) + there.change(centsThere);
        } finally {
            RootContext.unbind();
        }
        GlobalStatus status = wrong.isEmpty() ? tm.commit(xid) : tm.rollback(xid);
        return status + done();
    }

    /** What was done here, and what there. */
    private String done() {
        return " " + here.steps() + " " + there.steps();
    }

    private void expect(String name, String expected, String observed) {
        boolean pass = observed.equals(expected);
        failures += pass ? 0 : 1;
        System.out.println((pass ? "PASS " : "FAIL ") + name + ": " + observed + (pass ? "" : "   expected: " + expected));
    }

    /** A TCC participant: Seata's resource manager calls its methods by reflection, SOFARPC's server the others. */
    public static final class Account implements Participant {
        private final List<String> steps = new ArrayList<>();

        public synchronized String change(long cents) {
            try {
                String data = "{\"actionContext\":{\"cents\":" + cents + "}}";
                DefaultResourceManager.get().branchRegister(BranchType.TCC, ACTION, null, RootContext.getXID(), data, null);
            } catch (TransactionException e) {
                return e.getMessage();
            }
            if (cents < 0) {
                return "a negative amount";
            }
            steps.add("try " + cents);
            return "";
        }

        public synchronized List<String> steps() {
            List<String> taken = new ArrayList<>(steps);
            steps.clear();
            return taken;
        }

        public String transfer(String url, long cents, long centsThere) {
            return "transactions are begun by the check itself here";
        }

        public boolean prepare(BusinessActionContext context) {
            return true;
        }

        public synchronized boolean commit(BusinessActionContext context) {
            return steps.add("commit " + context.getActionContext("cents"));
        }

        public synchronized boolean rollback(BusinessActionContext context) {
            return steps.add("rollback " + context.getActionContext("cents"));
        }
    }
}
