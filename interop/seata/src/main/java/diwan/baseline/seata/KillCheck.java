package diwan.baseline.seata;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.seata.core.model.BranchType;
import org.apache.seata.core.model.GlobalStatus;
import org.apache.seata.core.model.TransactionManager;
import org.apache.seata.rm.DefaultResourceManager;
import org.apache.seata.rm.tcc.api.BusinessActionContext;

/**
 * Transfers as TCC for --seconds while somebody kills coordinators. Each takes from one account and gives to another:
 * the try sets the amount aside, confirm books it, cancel gives it back; all of them know what they did already. In the
 * end every transfer is booked on both sides or on none, as whoever decided was told, and the sum is what it was.
 */
final class KillCheck {
    private static final int ACCOUNTS = 100;
    private static final long OPENING = 1_000_000;
    private static final int TIMEOUT_MS = 10_000;

    /** What became of one side of a transfer. */
    private enum Side { TRIED, BOOKED, CANCELLED }

    /** One transfer, with what is known of its sides and of its decision. */
    private static final class Transfer {
        final int from;
        final int to;
        final long amount;
        final Map<String, Side> sides = new ConcurrentHashMap<>();
        /** What the coordinator promised: true to commit, false to roll back, null if nobody was told. */
        volatile Boolean promised;
        volatile boolean asked;

        Transfer(int from, int to, long amount) {
            this.from = from;
            this.to = to;
            this.amount = amount;
        }
    }

    private static final Map<String, Transfer> transfers = new ConcurrentHashMap<>();
    private static final AtomicLong[] balances = new AtomicLong[ACCOUNTS];
    private static final AtomicInteger wrong = new AtomicInteger();

    /** What the coordinator calls. */
    public static final class Action {
        private final String name;

        Action(String name) {
            this.name = name;
        }

        public boolean prepare(BusinessActionContext context) {
            return true;
        }

        public boolean commit(BusinessActionContext context) {
            Transfer transfer = transfers.get(context.getXid());
            synchronized (transfer) {
                Side side = transfer.sides.put(name, Side.BOOKED);
                if (side == Side.TRIED) {
                    if (name.equals("debit")) {
                        balances[transfer.from].addAndGet(-transfer.amount);
                    } else {
                        balances[transfer.to].addAndGet(transfer.amount);
                    }
                } else if (side != Side.BOOKED) {
                    complain(context.getXid() + ": " + name + " is confirmed after " + side);
                }
            }
            return true;
        }

        public boolean rollback(BusinessActionContext context) {
            Transfer transfer = transfers.get(context.getXid());
            synchronized (transfer) {
                if (transfer.sides.put(name, Side.CANCELLED) == Side.BOOKED) {
                    complain(context.getXid() + ": " + name + " is cancelled after it was booked");
                }
            }
            return true;
        }
    }

    private static void complain(String what) {
        wrong.incrementAndGet();
        System.out.println("WRONG " + what);
    }

    static int run(Options options) throws Exception {
        int seconds = options.get("seconds", 20);
        int threads = options.get("threads", 8);
        for (int i = 0; i < ACCOUNTS; i++) {
            balances[i] = new AtomicLong(OPENING);
        }
        for (String name : List.of("debit", "credit")) {
            DefaultResourceManager.get().registerResource(Client.tccResource(name, new Action(name)));
        }
        TransactionManager tm = Client.startTm(options.tc());
        Client.startRm(options.tc());
        Thread.sleep(1000);

        long end = System.nanoTime() + seconds * 1_000_000_000L;
        AtomicInteger failed = new AtomicInteger();
        List<Thread> workers = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            Random random = new Random(i);
            Thread worker = new Thread(() -> {
                while (System.nanoTime() < end) {
                    try {
                        transfer(tm, random);
                    } catch (Exception error) {
                        failed.incrementAndGet();
                        pause(100);
                    }
                }
            });
            worker.start();
            workers.add(worker);
        }
        for (Thread worker : workers) {
            worker.join();
        }
        // Undecided ones end by their timeout, decided ones by the coordinator's patience.
        long patience = System.nanoTime() + 90_000_000_000L;
        while (open() > 0 && System.nanoTime() < patience) {
            pause(200);
        }
        return verdict(failed.get());
    }

    private static void transfer(TransactionManager tm, Random random) throws Exception {
        String xid = tm.begin(Client.APPLICATION, Client.GROUP, "transfer", TIMEOUT_MS);
        Transfer transfer = new Transfer(random.nextInt(ACCOUNTS), random.nextInt(ACCOUNTS), 1 + random.nextInt(100));
        transfers.put(xid, transfer);
        for (String name : List.of("debit", "credit")) {
            DefaultResourceManager.get().branchRegister(BranchType.TCC, name, null, xid, "{\"actionContext\":{}}", null);
            // Whoever is cancelled before the try never tries.
            synchronized (transfer) {
                if (transfer.sides.putIfAbsent(name, Side.TRIED) != null) {
                    return;
                }
            }
        }
        boolean commit = random.nextInt(5) > 0;
        transfer.asked = true;
        GlobalStatus status = null;
        for (int attempt = 0; status == null; attempt++) {
            try {
                status = commit ? tm.commit(xid) : tm.rollback(xid);
            } catch (Exception error) {
                if (attempt == 20) {
                    throw error;
                }
                pause(200);
            }
        }
        switch (status) {
            case Committed, Committing, CommitRetrying, AsyncCommitting -> transfer.promised = true;
            case Rollbacked, Rollbacking, RollbackRetrying, TimeoutRollbacking, TimeoutRollbackRetrying, TimeoutRollbacked ->
                transfer.promised = false;
            default -> {
                // Finished: an earlier try was carried out, or its time was over before.
            }
        }
    }

    private static long open() {
        return transfers.values().stream().filter(one -> one.sides.containsValue(Side.TRIED)).count();
    }

    private static int verdict(int failed) {
        int booked = 0;
        int cancelled = 0;
        for (Map.Entry<String, Transfer> entry : transfers.entrySet()) {
            Transfer one = entry.getValue();
            boolean isBooked = one.sides.size() == 2 && one.sides.values().stream().allMatch(Side.BOOKED::equals);
            boolean isCancelled = one.sides.values().stream().allMatch(Side.CANCELLED::equals);
            if (isBooked) {
                booked++;
            } else if (isCancelled) {
                cancelled++;
            } else {
                complain(entry.getKey() + " is half done: " + one.sides);
            }
            if (one.promised != null && one.promised != isBooked) {
                complain(entry.getKey() + " was promised to be " + (one.promised ? "booked" : "cancelled") + ": " + one.sides);
            }
            if (isBooked && !one.asked) {
                complain(entry.getKey() + " is booked, and nobody asked for it");
            }
        }
        long sum = 0;
        for (AtomicLong balance : balances) {
            sum += balance.get();
        }
        if (sum != ACCOUNTS * OPENING) {
            complain("the sum is " + sum + ", not " + ACCOUNTS * OPENING);
        }
        System.out.println(booked + " booked, " + cancelled + " cancelled, " + failed + " requests failed, sum " + sum);
        System.out.println(wrong.get() == 0 ? "ALL PASS" : wrong.get() + " FAILED");
        return wrong.get();
    }

    private static void pause(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private KillCheck() {}
}
