package com.diwan.interop;

import java.util.List;

/** An account in a process of its own, over SOFARPC: the same on Diwan's side (`interop/rust/src/bin/tx-check.rs`). */
public interface Participant {
    /** Changes the account as part of the caller's transaction; says what went wrong. */
    String change(long cents);

    /** What was done since this was last asked. */
    List<String> steps();

    /** Begins a transaction in which this account and that of the participant at `url` change; says what went wrong. */
    String transfer(String url, long cents, long centsThere);
}
