package com.diwan.interop;

import com.caucho.hessian.io.AbstractHessianOutput;
import com.caucho.hessian.io.SerializerFactory;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * A value as one line of ASCII, the same from every implementation: the serializers of Hessian write into this instead
 * of into bytes, so class names and fields are those of the wire.
 *
 * <pre>
 * N  T F  iDEC  lDEC  dHEX16 (bits; NaN d7ff8000000000000)  tDEC (date, ms)  "text"  bHEX (byte[])
 * L["class"][v,...]   M["class"]{k=v,...}   O"class"{"field"=v,...}   @n (container n in order of appearance, from 0)
 * </pre>
 */
final class CanonicalText extends AbstractHessianOutput {
    private enum Kind { LIST, MAP, OBJECT }

    private static final class Open {
        final Kind kind;
        final List<String> fields;
        int written;

        Open(Kind kind, List<String> fields) {
            this.kind = kind;
            this.fields = fields;
        }
    }

    private final StringBuilder out = new StringBuilder();
    private final Deque<Open> open = new ArrayDeque<>();
    private final Map<String, List<String>> classes = new HashMap<>();
    /** Number of the container that each object became; null until it is printed. */
    private final IdentityHashMap<Object, int[]> numbers = new IdentityHashMap<>();
    private final List<int[]> unnumbered = new ArrayList<>();
    private int containers;
    private List<String> definition;
    private boolean countNext;
    private int definitionLeft;

    private CanonicalText(SerializerFactory factory) {
        setSerializerFactory(factory);
    }

    static String of(Object value, SerializerFactory factory) throws IOException {
        CanonicalText text = new CanonicalText(factory);
        text.writeObject(value);
        return text.out.toString();
    }

    private void leaf(String text) {
        before();
        out.append(text);
        after();
    }

    private void before() {
        Open top = open.peek();
        if (top == null) {
            return;
        }
        boolean value = top.kind == Kind.MAP && top.written % 2 == 1;
        if (top.written > 0) {
            out.append(value ? '=' : ',');
        }
        if (top.kind == Kind.OBJECT) {
            out.append(quoted(top.fields.get(top.written))).append('=');
        }
        top.written++;
    }

    /** Objects have no end of their own: one is complete with its last field. */
    private void after() {
        while (!open.isEmpty() && open.peek().kind == Kind.OBJECT && open.peek().written == open.peek().fields.size()) {
            open.pop();
            out.append('}');
        }
    }

    private void begin(char mark, String type, char bracket, Open container) {
        before();
        for (int[] holder : unnumbered) {
            holder[0] = containers;
        }
        unnumbered.clear();
        containers++;
        out.append(mark);
        if (type != null && !type.isEmpty()) {
            out.append(quoted(type));
        }
        out.append(bracket);
        open.push(container);
    }

    private void end(char bracket) {
        open.pop();
        out.append(bracket);
        after();
    }

    static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char unit = text.charAt(i);
            if (unit >= 0x20 && unit <= 0x7e && unit != '"' && unit != '\\') {
                quoted.append(unit);
            } else {
                quoted.append(String.format("\\u%04x", (int) unit));
            }
        }
        return quoted.append('"').toString();
    }

    @Override
    public void writeObject(Object value) throws IOException {
        if (value == null) {
            writeNull();
        } else {
            getSerializerFactory().getSerializer(value.getClass()).writeObject(value, this);
        }
    }

    @Override
    public void writeNull() {
        leaf("N");
    }

    @Override
    public void writeBoolean(boolean value) {
        leaf(value ? "T" : "F");
    }

    @Override
    public void writeInt(int value) {
        if (countNext) {
            countNext = false;
            definitionLeft = value;
        } else {
            leaf("i" + value);
        }
    }

    @Override
    public void writeLong(long value) {
        leaf("l" + value);
    }

    @Override
    public void writeDouble(double value) {
        // The wire keeps no sign of zero; doubleToLongBits has one NaN.
        leaf("d" + HexFormat.of().toHexDigits(Double.doubleToLongBits(value == 0 ? 0.0 : value)));
    }

    @Override
    public void writeUTCDate(long ms) {
        leaf("t" + ms);
    }

    @Override
    public void writeString(String value) {
        if (definitionLeft > 0) {
            definitionLeft--;
            definition.add(value);
        } else {
            leaf(value == null ? "N" : quoted(value));
        }
    }

    @Override
    public void writeString(char[] buffer, int offset, int length) {
        writeString(buffer == null ? null : new String(buffer, offset, length));
    }

    @Override
    public void writeBytes(byte[] value) {
        leaf(value == null ? "N" : "b" + HexFormat.of().formatHex(value));
    }

    @Override
    public void writeBytes(byte[] buffer, int offset, int length) {
        leaf("b" + HexFormat.of().formatHex(buffer, offset, offset + length));
    }

    @Override
    public boolean writeListBegin(int length, String type) {
        begin('L', type, '[', new Open(Kind.LIST, null));
        return true;
    }

    @Override
    public void writeListEnd() {
        end(']');
    }

    @Override
    public void writeMapBegin(String type) {
        begin('M', type, '{', new Open(Kind.MAP, null));
    }

    @Override
    public void writeMapEnd() {
        end('}');
    }

    @Override
    public int writeObjectBegin(String type) {
        if (!classes.containsKey(type)) {
            // The caller names the fields next and comes again.
            definition = new ArrayList<>();
            classes.put(type, definition);
            countNext = true;
            return -1;
        }
        begin('O', type, '{', new Open(Kind.OBJECT, classes.get(type)));
        after();
        return 0;
    }

    @Override
    public void writeClassFieldLength(int length) {
        writeInt(length);
    }

    @Override
    public boolean addRef(Object value) {
        int[] number = numbers.get(value);
        if (number != null) {
            leaf("@" + number[0]);
            return true;
        }
        int[] holder = new int[1];
        numbers.put(value, holder);
        unnumbered.add(holder);
        return false;
    }

    @Override
    public boolean removeRef(Object value) {
        return numbers.remove(value) != null;
    }

    @Override
    public boolean replaceRef(Object old, Object now) {
        int[] number = numbers.remove(old);
        if (number != null) {
            numbers.put(now, number);
        }
        return number != null;
    }

    // ---- not part of a value

    @Override
    public void writeRef(int number) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void startCall() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void startCall(String method) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeHeader(String name) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeMethod(String method) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void completeCall() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeByteBufferStart() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeByteBufferPart(byte[] buffer, int offset, int length) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeByteBufferEnd(byte[] buffer, int offset, int length) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeRemote(String type, String url) {
        throw new UnsupportedOperationException();
    }
}
