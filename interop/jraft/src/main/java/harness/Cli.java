package harness;

import com.alipay.sofa.jraft.CliService;
import com.alipay.sofa.jraft.RaftServiceFactory;
import com.alipay.sofa.jraft.Status;
import com.alipay.sofa.jraft.conf.Configuration;
import com.alipay.sofa.jraft.entity.PeerId;
import com.alipay.sofa.jraft.option.CliOptions;
import java.util.List;

/** JRaft's CliService as a command: cli ACTION [PEER|LIST]. Prints the result; the exit status is 0 if it was OK. */
final class Cli {
    static void run(Args args) {
        Result result = ask(RaftServiceFactory.createAndInitCliService(new CliOptions()), args);
        System.out.println(result.text);
        System.exit(result.ok ? 0 : 1);
    }

    record Result(boolean ok, String text) {
        Result(Status status) {
            this(status.isOk(), status.isOk() ? "OK" : status.toString());
        }
    }

    static Result ask(CliService cli, Args args) {
        String group = args.group();
        Configuration conf = args.peers();
        String action = args.words.get(0);
        String word = args.words.size() > 1 ? args.words.get(1) : "";
        try {
            return switch (action) {
                case "leader" -> {
                    PeerId leader = new PeerId();
                    Status status = cli.getLeader(group, conf, leader);
                    yield status.isOk() ? new Result(true, leader.toString()) : new Result(status);
                }
                case "peers" -> named(cli.getPeers(group, conf));
                case "alive-peers" -> named(cli.getAlivePeers(group, conf));
                case "learners" -> named(cli.getLearners(group, conf));
                case "alive-learners" -> named(cli.getAliveLearners(group, conf));
                default -> new Result(change(cli, group, conf, action, word, args));
            };
        } catch (RuntimeException e) {
            return new Result(false, e.toString());
        }
    }

    private static Result named(List<PeerId> peers) {
        return new Result(true, peers.toString());
    }

    private static Status change(CliService cli, String group, Configuration conf, String action, String word, Args args) {
        return switch (action) {
            case "add-peer" -> cli.addPeer(group, conf, Args.peer(word));
            case "remove-peer" -> cli.removePeer(group, conf, Args.peer(word));
            case "change-peers" -> cli.changePeers(group, conf, Args.configuration(word));
            case "reset-peer" -> cli.resetPeer(group, Args.peer(word), Args.configuration(args.words.get(2)));
            case "transfer" -> cli.transferLeader(group, conf, Args.peer(word));
            case "snapshot" -> cli.snapshot(group, Args.peer(word));
            case "add-learners" -> cli.addLearners(group, conf, Args.configuration(word).listPeers());
            case "remove-learners" -> cli.removeLearners(group, conf, Args.configuration(word).listPeers());
            case "reset-learners" -> cli.resetLearners(group, conf, Args.configuration(word).listPeers());
            case "learner-to-follower" -> cli.learner2Follower(group, conf, Args.peer(word));
            default -> throw new IllegalArgumentException("no action " + action);
        };
    }

    private Cli() {
    }
}
