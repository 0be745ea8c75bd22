package harness;

import com.alipay.sofa.jraft.CliService;
import com.alipay.sofa.jraft.RaftServiceFactory;
import com.alipay.sofa.jraft.option.CliOptions;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Many commands in one process, for scripts: each line of the input is a command with its options, each line of the
 * output its answer, which begins with "ok" or "failed".
 *   cli ACTION [PEER|LIST] --peers A,B,C
 *   put PREFIX COUNT --peers A,B,C     writes PREFIX0 and so on, 16 in flight, until all are acknowledged
 *   get PREFIX COUNT --peers A,B,C --at PEER    reads them at one member: all must be there
 *   begin PREFIX --peers A,B,C         keeps writing until "end"
 *   end                                says how many were acknowledged: PREFIX0 and so on, without a gap
 */
final class Console {
    private final CliService cli = RaftServiceFactory.createAndInitCliService(new CliOptions());
    private Writer writer;

    static void run() throws Exception {
        // Libraries write to the output, too.
        PrintStream answers = System.out;
        System.setOut(System.err);
        Console console = new Console();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.trim().split(" +");
            Cli.Result result;
            try {
                result = console.carryOut(words[0], new Args(Arrays.copyOfRange(words, 1, words.length)));
            } catch (Exception e) {
                result = new Cli.Result(false, e.toString());
            }
            answers.println((result.ok() ? "ok " : "failed ") + result.text().replace('\n', ' '));
        }
        System.exit(0);
    }

    private Cli.Result carryOut(String command, Args args) throws Exception {
        switch (command) {
            case "cli":
                return Cli.ask(cli, args);
            case "put": {
                Writer puts = new Writer(client(args), args.words.get(0));
                return puts.write(Integer.parseInt(args.words.get(1)), args.number("timeout-s", 30));
            }
            case "get":
                return get(client(args), args.text("at"), args.words.get(0), Integer.parseInt(args.words.get(1)));
            case "begin":
                writer = new Writer(client(args), args.words.get(0));
                writer.pauseMs = 15;
                writer.begin();
                return new Cli.Result(true, "writing");
            case "end":
                return writer.end();
            default:
                return new Cli.Result(false, "no command " + command);
        }
    }

    private Client client;

    /** One client with its connections, of whichever members are named. */
    private Client client(Args args) {
        if (client == null) {
            client = new Client(args.group(), args.peers());
        }
        client.follow(args.peers());
        return client;
    }

    private static Cli.Result get(Client client, String at, String prefix, int count) throws Exception {
        Semaphore window = new Semaphore(64);
        AtomicReference<String> wrong = new AtomicReference<>();
        for (int i = 0; i < count && wrong.get() == null; i++) {
            String name = prefix + i;
            byte[] key = name.getBytes(StandardCharsets.UTF_8);
            window.acquire();
            client.rpc.invokeAsync(Args.peer(at).getEndpoint(), KvRequest.get(key), (result, error) -> {
                KvResponse response = (KvResponse) result;
                if (error != null) {
                    wrong.compareAndSet(null, name + ": " + error);
                } else if (response.status() != KvResponse.OK || !Arrays.equals(response.payload(), key)) {
                    wrong.compareAndSet(null, name + ": " + response);
                }
                window.release();
            }, 5000);
        }
        window.acquire(64);
        return wrong.get() == null ? new Cli.Result(true, count + " found") : new Cli.Result(false, wrong.get());
    }
}
