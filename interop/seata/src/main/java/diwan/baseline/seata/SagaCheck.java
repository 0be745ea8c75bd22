package diwan.baseline.seata;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.seata.core.model.GlobalStatus;
import org.apache.seata.core.model.TransactionManager;
import org.apache.seata.saga.engine.impl.DefaultStateMachineConfig;
import org.apache.seata.saga.engine.impl.ProcessCtrlStateMachineEngine;
import org.apache.seata.saga.engine.store.db.DbAndReportTcStateLogStore;
import org.apache.seata.saga.engine.tm.DefaultSagaTransactionalTemplate;
import org.apache.seata.saga.rm.StateMachineEngineHolder;
import org.apache.seata.saga.statelang.domain.StateMachineInstance;
import org.apache.seata.tm.TransactionManagerHolder;
import org.springframework.context.support.StaticApplicationContext;

/** Sagas in Seata's own engine, which reports to the coordinator and is told by it to go on or to compensate. */
final class SagaCheck {
    private static final List<String> calls = Collections.synchronizedList(new ArrayList<>());
    /** How often a step still has to fail. */
    private static final Map<String, AtomicInteger> failuresLeft = new ConcurrentHashMap<>();

    /** What the machines call. */
    public static final class Steps {
        public String step(String name) {
            calls.add(name);
            AtomicInteger left = failuresLeft.get(name);
            if (left != null && left.getAndDecrement() > 0) {
                throw new IllegalStateException(name + " fails");
            }
            return name;
        }
    }

    private final ProcessCtrlStateMachineEngine engine;
    private final DefaultStateMachineConfig config;
    private int failures;

    private SagaCheck(ProcessCtrlStateMachineEngine engine, DefaultStateMachineConfig config) {
        this.engine = engine;
        this.config = config;
    }

    static int run(Options options) throws Exception {
        System.setProperty("service.default.grouplist", options.tc());
        StaticApplicationContext beans = new StaticApplicationContext();
        beans.getBeanFactory().registerSingleton("steps", new Steps());
        beans.refresh();
        DefaultStateMachineConfig config = new DefaultStateMachineConfig();
        config.setApplicationContext(beans);
        config.setAutoRegisterResources(false);
        config.setSagaJsonParser("jackson");
        DbAndReportTcStateLogStore store = SagaRun.store();
        DefaultSagaTransactionalTemplate template = new DefaultSagaTransactionalTemplate();
        template.setApplicationId(Client.APPLICATION);
        template.setTxServiceGroup(Client.GROUP);
        template.setApplicationContext(beans);
        template.afterPropertiesSet();
        store.setSagaTransactionalTemplate(template);
        config.setStateLogStore(store);
        config.afterPropertiesSet();
        ProcessCtrlStateMachineEngine engine = new ProcessCtrlStateMachineEngine();
        engine.setStateMachineConfig(config);
        StateMachineEngineHolder.setStateMachineEngine(engine);
        Thread.sleep(1000);
        SagaCheck check = new SagaCheck(engine, config);
        check.all();
        System.out.println(check.failures == 0 ? "ALL PASS" : check.failures + " FAILED");
        return check.failures;
    }

    private void all() throws Exception {
        load(machine("straight", null));
        load(machine("forward", "Forward"));
        expect("succeeds", "SU null tc=Finished [A, B]", () -> {
            return start("straight", 0);
        });
        expect("compensated-at-once", "UN SU tc=Finished [A, B, undo B, undo A]", () -> {
            failuresLeft.put("B", new AtomicInteger(1));
            return start("straight", 0);
        });
        // The coordinator asks for what was not done, until it is.
        expect("compensation-is-asked-for", "UN SU tc=Finished \\[A, B, undo B(, undo B)*, undo A\\]", () -> {
            failuresLeft.put("B", new AtomicInteger(1));
            failuresLeft.put("undo B", new AtomicInteger(2));
            return start("straight", 30_000);
        });
        expect("going-forward-is-asked-for", "SU null tc=Finished \\[A, B, B, B\\]", () -> {
            failuresLeft.put("B", new AtomicInteger(2));
            return start("forward", 30_000);
        });
    }

    /** Starts a saga and waits until the coordinator has finished it: its statuses and the calls. */
    private String start(String name, long patienceMs) throws Exception {
        TransactionManager tm = TransactionManagerHolder.get();
        StateMachineInstance saga = engine.start(name, null, new HashMap<>());
        GlobalStatus status = tm.getStatus(saga.getId());
        for (long end = System.currentTimeMillis() + patienceMs; status != GlobalStatus.Finished && System.currentTimeMillis() < end; ) {
            Thread.sleep(100);
            status = tm.getStatus(saga.getId());
        }
        StateMachineInstance now = config.getStateLogStore().getStateMachineInstance(saga.getId());
        return now.getStatus() + " " + now.getCompensationStatus() + " tc=" + status + " " + calls;
    }

    private static String machine(String name, String recover) {
        String compensates = recover == null ? ", \"CompensateState\": \"Undo%1$s\", \"Catch\": [{\"Exceptions\": [\"java.lang.Throwable\"], \"Next\": \"Undo\"}]" : "";
        String step = "\"%1$s\": {\"Type\": \"ServiceTask\", \"ServiceName\": \"steps\", \"ServiceMethod\": \"step\", \"Input\": [\"%1$s\"], \"IsForUpdate\": true,"
            + " \"Next\": \"%2$s\"" + compensates + "}, \"Undo%1$s\": {\"Type\": \"ServiceTask\", \"ServiceName\": \"steps\", \"ServiceMethod\": \"step\", \"Input\": [\"undo %1$s\"]}";
        return "{\"Name\": \"" + name + "\", \"StartState\": \"A\", \"Version\": \"1\"" + (recover == null ? "" : ", \"RecoverStrategy\": \"" + recover + "\"")
            + ", \"States\": {" + step.formatted("A", "B") + ", " + step.formatted("B", "Done")
            + ", \"Undo\": {\"Type\": \"CompensationTrigger\", \"Next\": \"Failed\"}, \"Done\": {\"Type\": \"Succeed\"}"
            + ", \"Failed\": {\"Type\": \"Fail\", \"ErrorCode\": \"FAILED\", \"Message\": \"undone\"}}}";
    }

    private void load(String json) throws Exception {
        config.getStateMachineRepository().registerByResources(
            new InputStream[] {new ByteArrayInputStream(json.getBytes(StandardCharsets.UTF_8))}, "000001");
    }

    private void expect(String name, String expected, Callable<String> scenario) {
        calls.clear();
        failuresLeft.clear();
        String observed;
        try {
            observed = scenario.call();
        } catch (Throwable e) {
            observed = "threw " + e;
        }
        boolean pass = observed.equals(expected) || observed.matches(expected);
        failures += pass ? 0 : 1;
        System.out.println((pass ? "PASS " : "FAIL ") + name + ": " + observed + (pass ? "" : "   expected: " + expected));
    }
}
