package harness;

import com.alipay.sofa.registry.client.api.Publisher;
import com.alipay.sofa.registry.client.api.RegistryClient;
import com.alipay.sofa.registry.client.api.registration.PublisherRegistration;
import com.alipay.sofa.registry.client.api.registration.SubscriberRegistration;
import com.alipay.sofa.registry.client.auth.AuthManager;
import com.alipay.sofa.registry.client.provider.DefaultRegistryClient;
import com.alipay.sofa.registry.client.provider.DefaultRegistryClientConfigBuilder;
import com.alipay.sofa.registry.core.model.BaseRegister;
import com.alipay.sofa.registry.core.model.ScopeEnum;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** A registry that wants signed registrations takes those that are signed, and refuses the others. */
final class Signed {
    private static final long PATIENCE_MS = 15_000;

    private final Endpoint endpoint;
    private final String key;
    private final String secret;
    private final String runId = Long.toString(System.currentTimeMillis(), 36);

    Signed(Map<String, String> options) {
        endpoint = Endpoint.parse(Options.required(options, "endpoint"));
        key = Options.required(options, "key");
        secret = Options.required(options, "secret");
    }

    /** Signs as docs/registry.md says. */
    private record Signer(String key, String secret) implements AuthManager {
        @Override
        public Map<String, String> getAuthContent(BaseRegister register) {
            String timestamp = Long.toString(System.currentTimeMillis());
            String dataInfoId = register.getDataId() + "#@#" + register.getInstanceId() + "#@#" + register.getGroup();
            String signed = dataInfoId + "\n" + register.getRegistId() + "\n" + timestamp;
            try {
                Mac mac = Mac.getInstance("HmacSHA256");
                mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
                String signature = HexFormat.of().formatHex(mac.doFinal(signed.getBytes(StandardCharsets.UTF_8)));
                return Map.of("!AccessKey", key, "!Algorithm", "HmacSHA256", "!Timestamp", timestamp, "!Signature", signature);
            } catch (java.security.GeneralSecurityException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private RegistryClient connect(String appName, AuthManager signer) {
        DefaultRegistryClient client = new DefaultRegistryClient(DefaultRegistryClientConfigBuilder.start()
                .setAppName(appName)
                .setInstanceId("DEFAULT_INSTANCE_ID")
                .setRegistryEndpoint(endpoint.host())
                .setRegistryEndpointPort(endpoint.port())
                .build());
        if (signer != null) {
            client.setAuthManager(signer);
        }
        client.init();
        return client;
    }

    boolean run() throws Exception {
        RegistryClient good = connect("signed", new Signer(key, secret));
        String dataId = "signed-" + runId;
        Watch watch = new Watch();
        SubscriberRegistration subscription = new SubscriberRegistration(dataId, watch);
        subscription.setScopeEnum(ScopeEnum.global);
        good.register(subscription);
        boolean passed = said("subscribe", watch.await("[]", PATIENCE_MS));
        passed &= said("unsigned-is-refused", isRefused(connect("unsigned", null), dataId));
        passed &= said("wrong-secret-is-refused", isRefused(connect("wrong", new Signer(key, secret + "x")), dataId));
        good.register(new PublisherRegistration(dataId), "good");
        passed &= said("publish", watch.await("[good]", PATIENCE_MS));
        return passed;
    }

    /** A client that is refused takes no other data any more. */
    private static boolean isRefused(RegistryClient client, String dataId) throws InterruptedException {
        Publisher publisher = client.register(new PublisherRegistration(dataId), "bad");
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (System.nanoTime() < deadline) {
            Thread.sleep(100);
            try {
                publisher.republish("worse");
            } catch (IllegalStateException refused) {
                return true;
            }
        }
        return false;
    }

    private static boolean said(String name, boolean passed) {
        System.out.printf("%s %s%n", passed ? "PASS" : "FAIL", name);
        return passed;
    }
}
