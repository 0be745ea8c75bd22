package com.diwan.interop;

import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;

/** Tells a recording proxy which case comes next: -Ddiwan.marks=HOST:PORT of its control socket. */
final class Marks {
    private static final String ADDRESS = System.getProperty("diwan.marks");

    static void tell(String name) {
        if (ADDRESS == null) {
            return;
        }
        int colon = ADDRESS.lastIndexOf(':');
        try (Socket socket = new Socket(ADDRESS.substring(0, colon), Integer.parseInt(ADDRESS.substring(colon + 1)))) {
            socket.getOutputStream().write((name + "\n").getBytes(StandardCharsets.UTF_8));
            // The proxy closes once it has taken note.
            socket.getInputStream().read();
        } catch (IOException e) {
            throw new IllegalStateException("no recorder at " + ADDRESS, e);
        }
    }
}
