package com.diwan.bench;

/** Calls every method once through any proxy of {@link Echo} and says what came back. */
public final class Calls {
    public static boolean checkAll(Echo echo, int echoes) {
        boolean ok = check("echo", text(100).equals(echo.echo(text(100))));
        String sent = Order.sample().describe();
        ok &= check("order", sent.equals(echo.order(Order.sample()).describe()));
        echo.oneway("no answer expected");
        ok &= check("oneway", true);
        try {
            echo.fail("declined");
            ok &= check("fail", false);
        } catch (BusinessException e) {
            ok &= check("fail", "declined".equals(e.getMessage()) && e.getCode() == 409);
        }
        long start = System.nanoTime();
        for (int i = 0; i < echoes; i++) {
            String text = "echo-" + i;
            if (!text.equals(echo.echo(text))) {
                ok = check("echo " + i, false);
            }
        }
        if (echoes > 0) {
            System.out.printf("%d synchronous echoes, %.1f us each%n", echoes, (System.nanoTime() - start) / 1e3 / echoes);
        }
        return ok;
    }

    /** ASCII text of {@code length} bytes. */
    public static String text(int length) {
        return "0123456789abcdef".repeat(length / 16 + 1).substring(0, length);
    }

    private static boolean check(String what, boolean ok) {
        System.out.println((ok ? "ok    " : "WRONG ") + what);
        return ok;
    }
}
