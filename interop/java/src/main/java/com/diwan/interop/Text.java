package com.diwan.interop;

import com.google.protobuf.Message;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A value as text, to compare what came with what should have come and to show the difference. Lists, sets and maps are
 * written without their implementation class, sets and maps in sorted order.
 */
final class Text {
    private final StringBuilder out = new StringBuilder();
    private final IdentityHashMap<Object, Integer> seen = new IdentityHashMap<>();
    private final boolean identity;

    private Text(boolean identity) {
        this.identity = identity;
    }

    /** By content alone; not for cyclic values. */
    static String of(Object value) {
        return new Text(false).write(value).out.toString();
    }

    /** An object met again is written as #n: sharing and cycles count. */
    static String graphOf(Object value) {
        return new Text(true).write(value).out.toString();
    }

    private Text write(Object value) {
        if (value == null) {
            out.append("null");
        } else if (value instanceof String || value instanceof Character) {
            out.append('"').append(value).append('"');
        } else if (value instanceof byte[] bytes) {
            out.append("x").append(HexFormat.of().formatHex(bytes));
        } else if (value instanceof java.util.Date date) {
            out.append("Date:").append(date.getTime());
        } else if (value instanceof Enum<?> || !(isStructure(value))) {
            out.append(value.getClass().getSimpleName()).append(':').append(value);
        } else if (!identity || first(value)) {
            structure(value);
        }
        return this;
    }

    private static boolean isStructure(Object value) {
        return value.getClass().isArray() || value instanceof Iterable || value instanceof Map
            || value.getClass().getName().startsWith("com.diwan.") && !(value instanceof Message);
    }

    private boolean first(Object value) {
        Integer number = seen.putIfAbsent(value, seen.size());
        out.append('#').append(number == null ? seen.size() - 1 : number);
        return number == null;
    }

    private void structure(Object value) {
        if (value.getClass().isArray()) {
            out.append(value.getClass().getSimpleName());
            List<Object> items = new ArrayList<>();
            for (int i = 0; i < Array.getLength(value); i++) {
                items.add(Array.get(value, i));
            }
            items(items);
        } else if (value instanceof Set<?> set) {
            out.append("Set");
            sorted(set.stream().map(this::inner).toList());
        } else if (value instanceof Iterable<?> list) {
            out.append("List");
            items(list);
        } else if (value instanceof Map<?, ?> map) {
            out.append("Map");
            sorted(map.entrySet().stream().map(e -> inner(e.getKey()) + "=" + inner(e.getValue())).toList());
        } else {
            out.append(value.getClass().getSimpleName()).append('{');
            fields(value.getClass(), value);
            out.append('}');
        }
    }

    /** In the numbering of the whole. */
    private String inner(Object value) {
        int start = out.length();
        write(value);
        String text = out.substring(start);
        out.setLength(start);
        return text;
    }

    private void items(Iterable<?> values) {
        out.append('[');
        for (Object value : values) {
            write(value).out.append(", ");
        }
        out.append(']');
    }

    private void sorted(List<String> texts) {
        List<String> order = new ArrayList<>(texts);
        Collections.sort(order);
        out.append(order);
    }

    private void fields(Class<?> type, Object value) {
        if (type != Object.class) {
            fields(type.getSuperclass(), value);
        }
        for (Field field : type.getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers())) {
                try {
                    field.setAccessible(true);
                    out.append(field.getName()).append('=');
                    write(field.get(value)).out.append(' ');
                } catch (IllegalAccessException e) {
                    throw new IllegalStateException(e);
                }
            }
        }
    }
}
