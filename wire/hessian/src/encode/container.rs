//! Lists, maps, class definitions, objects, and the numbers back references use.

use super::{ClassSlot, Encoder, SEARCHED_MAX, Span};
use crate::class::{Class, Typed};
use crate::dialect::{draft, last, tag};
use crate::encode::text::utf16_len;

impl Encoder<'_> {
    /// Begins a list of `len` items that follow; `class` is null for `java.util.ArrayList`, `[int` and the like for
    /// Java arrays. Close with [`list_end`](Self::list_end).
    pub fn list_begin(&mut self, class: Option<&str>, len: usize) {
        self.next_reference += 1;
        // An empty name is no type: the draft's writer skips it, the final one refuses it.
        let class = class.filter(|name| !name.is_empty());
        let len = i32::try_from(len).expect("a list of more than 2^31 items fits no frame");
        let ends = if self.is_draft() {
            self.draft_list(class, len)
        } else {
            self.final_list(class, len)
        };
        self.lists.push(ends);
    }

    /// A type that is known makes a list without an end, any other one ends with `z`
    /// (`sofa-hessian@3.x:Hessian2Output.writeListBegin`).
    fn draft_list(&mut self, class: Option<&str>, len: i32) -> bool {
        if let Some(name) = class {
            if let Some(index) = self.type_index(name) {
                self.out.push(draft::LIST_KNOWN);
                self.int(index);
                self.int(len);
                return false;
            }
            self.out.push(tag::LIST);
            self.draft_type(name);
        } else {
            self.out.push(tag::LIST);
        }
        match u8::try_from(len) {
            Ok(len) => self.out.extend_from_slice(&[draft::LENGTH_BYTE, len]),
            Err(_) => {
                self.out.push(draft::LENGTH_INT);
                self.out.extend_from_slice(&len.to_be_bytes());
            }
        }
        true
    }

    fn final_list(&mut self, class: Option<&str>, len: i32) -> bool {
        match (class, len) {
            (Some(name), 0..=7) => {
                self.out.push(0x70 + len as u8);
                self.final_type(name);
            }
            (Some(name), _) => {
                self.out.push(tag::LIST);
                self.final_type(name);
                self.int(len);
            }
            (None, 0..=7) => self.out.push(0x78 + len as u8),
            (None, _) => {
                self.out.push(last::LIST_FIXED_UNTYPED);
                self.int(len);
            }
        }
        false
    }

    /// Ends the innermost open list.
    pub fn list_end(&mut self) {
        // Only the draft has lists that end with a tag: the length is always known here.
        if self.lists.pop().expect("list_end without list_begin") {
            self.out.push(draft::END);
        }
    }

    /// Begins a map whose keys and values follow in turn; `class` is null for `java.util.HashMap`.
    pub fn map_begin(&mut self, class: Option<&str>) {
        self.next_reference += 1;
        match class.filter(|name| !name.is_empty()) {
            Some(name) if self.is_draft() => {
                self.out.push(tag::MAP);
                self.draft_type(name);
            }
            Some(name) => {
                self.out.push(tag::MAP);
                self.final_type(name);
            }
            None if self.is_draft() => self.out.push(tag::MAP),
            None => self.out.push(last::MAP_UNTYPED),
        }
    }

    /// Ends a map.
    pub fn map_end(&mut self) {
        self.out.push(if self.is_draft() {
            draft::END
        } else {
            last::END
        });
    }

    /// Begins an object: the class definition the first time, the object tag always. The fields follow in class order.
    pub fn object(&mut self, class: &'static Class) {
        let known = self
            .classes
            .iter()
            .position(|slot| slot.class.is_some_and(|c| std::ptr::eq(c, class)));
        let index = known.unwrap_or_else(|| {
            let start = self.definition_head(class.name, class.fields.len());
            class.fields.iter().for_each(|field| self.str(field));
            self.class_index(Some(class), start)
        });
        self.object_tag(index);
    }

    /// [`object`](Self::object) for a class whose definition bytes are constants.
    #[inline]
    pub fn object_of(&mut self, typed: &'static Typed) {
        let class = &typed.class;
        let index = match self
            .classes
            .iter()
            .position(|slot| slot.class.is_some_and(|c| std::ptr::eq(c, class)))
        {
            Some(index) => index,
            None => {
                let start = self.out.len();
                self.out.extend_from_slice(if self.is_draft() {
                    typed.draft
                } else {
                    typed.last
                });
                self.class_index(Some(class), start)
            }
        };
        self.object_tag(index);
    }

    /// [`object`](Self::object) for a class known at run time only.
    pub fn object_dyn(&mut self, name: &str, fields: &[&str]) {
        let index = self.define(name.as_bytes(), fields.iter().map(|field| field.as_bytes()));
        self.object_tag(index);
    }

    /// Number of a class by its names in UTF-8, writing its definition the first time.
    pub(crate) fn define<'n>(
        &mut self,
        name: &[u8],
        fields: impl ExactSizeIterator<Item = &'n [u8]>,
    ) -> usize {
        let start = self.definition_head(text(name), fields.len());
        for field in fields {
            if field.len() <= 0x1f && field.is_ascii() {
                self.out.push(field.len() as u8);
                self.out.extend_from_slice(field);
            } else {
                self.str(text(field));
            }
        }
        self.class_index(None, start)
    }

    /// Tag of an object of class `index`, which was defined before.
    pub(crate) fn object_tag(&mut self, index: usize) {
        self.next_reference += 1;
        if self.is_draft() {
            self.out.push(draft::OBJECT);
        } else if index <= 0x0f {
            return self.out.push(0x60 + index as u8);
        } else {
            self.out.push(last::OBJECT);
        }
        self.int(index as i32);
    }

    fn definition_head(&mut self, name: &str, fields: usize) -> usize {
        let start = self.out.len();
        if self.is_draft() {
            // The draft writes the class name with an int length and in one piece.
            let units = utf16_len(name);
            self.out.push(draft::CLASS);
            self.int(units as i32);
            self.cesu8(name, units);
        } else {
            self.out.push(last::CLASS);
            self.str(name);
        }
        self.int(fields as i32);
        start
    }

    /// Number of the class whose definition was just written at `start`; takes it back when it had been written before.
    ///
    /// Java looks classes up by name alone; the bytes also tell apart two classes of one name and different fields,
    /// which only data read from elsewhere can contain.
    fn class_index(&mut self, class: Option<&'static Class>, start: usize) -> usize {
        let definition = Span {
            start,
            end: self.out.len(),
        };
        let written = &self.out[start..];
        let same =
            |slot: &ClassSlot| self.out[slot.definition.start..slot.definition.end] == *written;
        let mut known = self.classes.iter().take(SEARCHED_MAX).position(same);
        if known.is_none()
            && let Some(rare) = &self.rare
        {
            known = rare.class_numbers.get(written).map(|&index| index as usize);
        }
        if let Some(index) = known {
            self.out.truncate(start);
            return index;
        }
        let index = self.classes.len();
        if index >= SEARCHED_MAX {
            let written = Box::from(written);
            self.rare().class_numbers.insert(written, index as u32);
        }
        self.classes.push(ClassSlot { class, definition });
        index
    }

    /// Writes a back reference to container `number` of this body.
    pub(crate) fn reference(&mut self, number: u32) {
        let [b3, b2, b1, b0] = number.to_be_bytes();
        if !self.is_draft() {
            self.out.push(last::REF);
            return self.int(number as i32);
        }
        match number {
            0..=0xff => self.out.extend_from_slice(&[draft::REF_BYTE, b0]),
            0x100..=0xffff => self.out.extend_from_slice(&[draft::REF_SHORT, b1, b0]),
            _ => self
                .out
                .extend_from_slice(&[draft::REF_INT, b3, b2, b1, b0]),
        }
    }

    /// Number the next list, map or object gets.
    pub(crate) fn next_reference(&self) -> u32 {
        self.next_reference
    }

    fn type_index(&self, name: &str) -> Option<i32> {
        let same = |span: &Span| self.out[span.start..span.end] == *name.as_bytes();
        let known = self.types.iter().take(SEARCHED_MAX).position(same);
        let numbered = || {
            self.rare
                .as_ref()?
                .type_numbers
                .get(name.as_bytes())
                .map(|&index| index as usize)
        };
        known.or_else(numbered).map(|index| index as i32)
    }

    fn draft_type(&mut self, name: &str) {
        if let Some(index) = self.type_index(name) {
            self.out.push(draft::TYPE_REF);
            return self.int(index);
        }
        let units = utf16_len(name);
        let length =
            u16::try_from(units).expect("a type name of more than 65,535 units is no Java class");
        self.out.push(draft::TYPE);
        self.out.extend_from_slice(&length.to_be_bytes());
        self.type_name(name, units);
    }

    fn final_type(&mut self, name: &str) {
        if let Some(index) = self.type_index(name) {
            return self.int(index);
        }
        let units = utf16_len(name);
        self.string_head(units);
        self.type_name(name, units);
    }

    fn type_name(&mut self, name: &str, units: usize) {
        let start = self.out.len();
        self.cesu8(name, units);
        if self.types.len() >= SEARCHED_MAX {
            let (name, index) = (self.out[start..].into(), self.types.len() as u32);
            self.rare().type_numbers.insert(name, index);
        }
        self.types.push(Span {
            start,
            end: self.out.len(),
        });
    }
}

/// A name as text; whoever hands one over has made it of text.
fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}
