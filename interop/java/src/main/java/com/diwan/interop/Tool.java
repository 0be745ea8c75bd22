package com.diwan.interop;

/** The declared type of a field; what travels is a {@link Knife} or a {@link Pan}. */
public interface Tool {
}
