//! How two nodes find out, before anything else goes over a new connection, that both know the cluster's token:
//!
//! ```text
//! who dials                                    who listens
//! Hello: a nonce, the node that is meant   ->
//!                                          <-  Challenge: a nonce
//! Proof: HMAC(token, dialer, all of that)  ->
//!                                          <-  Accepted: HMAC(token, listener, all of that)
//! ```
//! The token never travels. Both nonces are fresh, so that nothing recorded serves again; each direction has a label of its own, so
//! that nothing said serves as its own answer; and what was meant for one node is no proof to another. Whoever listens proves
//! nothing to a stranger. Frames after these are not protected by it: that is what TLS is for.

use std::fmt;

use ring::hmac;

/// The class of the frames that hold these messages.
pub const CLASS: &str = "diwan.Hello";

/// A token that is shorter could be found by trying.
pub const TOKEN_BYTES_MIN: usize = 16;

/// Drawn at random for one connection.
pub type Nonce = [u8; 32];

const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;
const DIALER: &[u8] = b"diwan.Hello.1.dialer";
const LISTENER: &[u8] = b"diwan.Hello.1.listener";

/// What all nodes of a cluster know, and nobody else.
#[derive(Clone)]
pub struct ClusterToken(hmac::Key);

/// A token that is too short.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cluster token has at least {TOKEN_BYTES_MIN} bytes, this one has {bytes}; make one with `openssl rand -hex 32`"
)]
pub struct TokenError {
    /// Its length.
    pub bytes: usize,
}

impl ClusterToken {
    /// The token with these bytes.
    /// # Errors
    /// They are too few.
    pub fn new(secret: &[u8]) -> Result<Self, TokenError> {
        match secret.len() {
            bytes if bytes < TOKEN_BYTES_MIN => Err(TokenError { bytes }),
            _ => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        }
    }
}

impl fmt::Debug for ClusterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterToken(..)")
    }
}

/// What was said on a connection so far: both sides prove that they know the token together with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Transcript {
    dialer: Nonce,
    listener: Nonce,
    to: String,
}

impl Transcript {
    fn bytes(&self, label: &[u8]) -> Vec<u8> {
        [label, &self.dialer, &self.listener, self.to.as_bytes()].concat()
    }

    fn proof(&self, token: &ClusterToken, label: &[u8]) -> [u8; HASH_BYTES] {
        let mut proof = [0; HASH_BYTES];
        proof.copy_from_slice(hmac::sign(&token.0, &self.bytes(label)).as_ref());
        proof
    }

    /// Takes as long for a wrong proof as for the right one.
    fn is_proved(&self, token: &ClusterToken, label: &[u8], proof: &[u8]) -> bool {
        hmac::verify(&token.0, &self.bytes(label), proof).is_ok()
    }
}

/// Why a listener takes no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It has no token.
    #[error("the node that is dialed has no cluster token")]
    NoToken,
    /// The proof is wrong.
    #[error("the cluster tokens differ")]
    OtherToken,
    /// Another node was meant.
    #[error("the node that is dialed is not the one that is meant")]
    OtherNode,
    /// It cannot be read, or does not follow on what came before.
    #[error("the greeting is not understood")]
    NotUnderstood,
}

impl Reason {
    const ALL: [Self; 4] = [
        Self::NoToken,
        Self::OtherToken,
        Self::OtherNode,
        Self::NotUnderstood,
    ];
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A dialer begins.
    Hello {
        /// The dialer's.
        nonce: Nonce,
        /// Name of the node that is meant; empty for whichever is there.
        to: String,
    },
    /// What the dialer has to prove.
    Challenge {
        /// The listener's.
        nonce: Nonce,
    },
    /// The dialer knows the token.
    Proof([u8; HASH_BYTES]),
    /// The listener knows it, too.
    Accepted([u8; HASH_BYTES]),
    /// The listener wants nothing to do with it.
    Refused(Reason),
}

/// Why a message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Of another version.
    #[error("byte 0: version {0:?} instead of {VERSION}")]
    Version(Option<u8>),
    /// A number that no message has.
    #[error("byte 1: {0:?} is no kind of greeting")]
    Kind(Option<u8>),
    /// Not as long as its kind is.
    #[error("byte 2: {bytes} bytes instead of {wanted}")]
    Length {
        /// How many there are.
        bytes: usize,
        /// How many there should be.
        wanted: usize,
    },
    /// The name is no text.
    #[error("byte {offset}: no UTF-8")]
    Name {
        /// Where.
        offset: usize,
    },
    /// A number that no reason has.
    #[error("byte 2: {0} is no reason")]
    Reason(u8),
}

impl Message {
    /// The message as the content of a frame. A name beyond 255 bytes is cut, and then is nobody's.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Hello { nonce, to } => {
                let name = &to.as_bytes()[..to.floor_char_boundary(255)];
                out.push(1);
                out.extend_from_slice(nonce);
                out.push(name.len() as u8);
                out.extend_from_slice(name);
            }
            Self::Challenge { nonce } => {
                out.push(2);
                out.extend_from_slice(nonce);
            }
            Self::Proof(proof) => {
                out.push(3);
                out.extend_from_slice(proof);
            }
            Self::Accepted(proof) => {
                out.push(4);
                out.extend_from_slice(proof);
            }
            Self::Refused(reason) => {
                let place = Reason::ALL.iter().position(|known| known == reason);
                out.extend([5, place.unwrap_or_default() as u8]);
            }
        }
        out
    }

    /// Reads the content of a frame.
    /// # Errors
    /// It is not exactly one message.
    pub fn decode(content: &[u8]) -> Result<Self, HelloError> {
        let (version, kind) = (content.first().copied(), content.get(1).copied());
        if version != Some(VERSION) {
            return Err(HelloError::Version(version));
        }
        let body = content.get(2..).unwrap_or(&[]);
        Ok(match kind {
            Some(1) => {
                // The name's length stands behind the nonce.
                let length = body.get(32).copied().map_or(0, usize::from);
                let wanted = 33 + length;
                if body.len() != wanted {
                    let bytes = body.len();
                    return Err(HelloError::Length { bytes, wanted });
                }
                let name = std::str::from_utf8(&body[33..]).map_err(|error| HelloError::Name {
                    offset: 35 + error.valid_up_to(),
                })?;
                Self::Hello {
                    nonce: exactly(&body[..32])?,
                    to: name.to_owned(),
                }
            }
            Some(2) => Self::Challenge {
                nonce: exactly(body)?,
            },
            Some(3) => Self::Proof(exactly(body)?),
            Some(4) => Self::Accepted(exactly(body)?),
            Some(5) => {
                let [reason] = exactly(body)?;
                let known = Reason::ALL.get(usize::from(reason));
                Self::Refused(*known.ok_or(HelloError::Reason(reason))?)
            }
            other => return Err(HelloError::Kind(other)),
        })
    }
}

fn exactly<const N: usize>(body: &[u8]) -> Result<[u8; N], HelloError> {
    body.try_into().map_err(|_| HelloError::Length {
        bytes: body.len(),
        wanted: N,
    })
}

/// Why whoever dials does not use a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFailure {
    /// The other side says so.
    #[error("{0}")]
    Refused(Reason),
    /// The other side accepted a proof and has none itself.
    #[error("the node that is dialed does not know the cluster token")]
    Unproved,
    /// An answer that answers something else.
    #[error("an answer to another greeting")]
    Unexpected,
    /// An answer that cannot be read.
    #[error("an answer that cannot be read: {0}")]
    Damaged(#[from] HelloError),
}

/// The side that dials.
#[derive(Debug)]
pub struct Dialer {
    token: ClusterToken,
    nonce: Nonce,
    to: String,
    challenged: Option<Transcript>,
}

impl Dialer {
    /// Of a connection to the node `to`; empty for whichever is there. `nonce` must never have been used before.
    pub fn new(token: ClusterToken, to: &str, nonce: Nonce) -> Self {
        Self {
            token,
            nonce,
            to: to.to_owned(),
            challenged: None,
        }
    }

    /// What is said first.
    pub fn hello(&self) -> Message {
        Message::Hello {
            nonce: self.nonce,
            to: self.to.clone(),
        }
    }

    /// What is said next; None once the other side has proved that it knows the token.
    /// # Errors
    /// It has not, or refuses.
    pub fn answered(&mut self, answer: &Message) -> Result<Option<Message>, HelloFailure> {
        match (answer, &self.challenged) {
            (Message::Challenge { nonce }, None) => {
                let transcript = Transcript {
                    dialer: self.nonce,
                    listener: *nonce,
                    to: self.to.clone(),
                };
                let proof = transcript.proof(&self.token, DIALER);
                self.challenged = Some(transcript);
                Ok(Some(Message::Proof(proof)))
            }
            (Message::Accepted(proof), Some(said)) => {
                match said.is_proved(&self.token, LISTENER, proof) {
                    true => Ok(None),
                    false => Err(HelloFailure::Unproved),
                }
            }
            (Message::Refused(reason), _) => Err(HelloFailure::Refused(*reason)),
            _ => Err(HelloFailure::Unexpected),
        }
    }
}

/// The side that listens, for one connection.
#[derive(Debug, Default)]
pub enum Listener {
    /// Nothing was said yet.
    #[default]
    Silent,
    /// A proof is to come.
    Challenged(Challenged),
    /// The dialer knows the token.
    Proved,
    /// The dialer does not.
    Refused,
}

/// What a proof must fit.
#[derive(Debug)]
pub struct Challenged(Transcript);

impl Listener {
    /// Whether the dialer has proved that it knows the token.
    pub fn is_proved(&self) -> bool {
        matches!(self, Self::Proved)
    }

    /// The answer of the node `name` to the content of a frame. `nonce` must never have been used before. After a refusal
    /// nothing is accepted any more.
    pub fn asked(
        &mut self,
        token: Option<&ClusterToken>,
        name: &str,
        nonce: Nonce,
        content: &[u8],
    ) -> Message {
        match self.step(token, name, nonce, content) {
            Ok(answer) => answer,
            Err(reason) => {
                *self = Self::Refused;
                Message::Refused(reason)
            }
        }
    }

    fn step(
        &mut self,
        token: Option<&ClusterToken>,
        name: &str,
        nonce: Nonce,
        content: &[u8],
    ) -> Result<Message, Reason> {
        let token = token.ok_or(Reason::NoToken)?;
        let message = Message::decode(content).map_err(|_| Reason::NotUnderstood)?;
        match (message, &*self) {
            (Message::Hello { to, .. }, Self::Silent) if !to.is_empty() && to != name => {
                Err(Reason::OtherNode)
            }
            (Message::Hello { nonce: dialer, to }, Self::Silent) => {
                *self = Self::Challenged(Challenged(Transcript {
                    dialer,
                    listener: nonce,
                    to,
                }));
                Ok(Message::Challenge { nonce })
            }
            (Message::Proof(proof), Self::Challenged(Challenged(said))) => {
                if !said.is_proved(token, DIALER, &proof) {
                    return Err(Reason::OtherToken);
                }
                let answer = Message::Accepted(said.proof(token, LISTENER));
                *self = Self::Proved;
                Ok(answer)
            }
            _ => Err(Reason::NotUnderstood),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(secret: &[u8]) -> ClusterToken {
        ClusterToken::new(secret).unwrap()
    }

    const SECRET: &[u8] = b"0123456789abcdef";
    const NAME: &str = "10.0.0.1:8701";

    /// Lets both sides speak to the end: what the dialer makes of it, and whether the listener trusts it.
    fn meet(
        mut dialer: Dialer,
        listener_token: Option<&ClusterToken>,
    ) -> (Result<(), HelloFailure>, bool) {
        let mut listener = Listener::default();
        let mut said = dialer.hello();
        loop {
            let answer = listener.asked(listener_token, NAME, [2; 32], &said.encode());
            match dialer.answered(&Message::decode(&answer.encode()).unwrap()) {
                Ok(Some(next)) => said = next,
                Ok(None) => return (Ok(()), listener.is_proved()),
                Err(failure) => return (Err(failure), listener.is_proved()),
            }
        }
    }

    #[test]
    fn who_knows_the_token_is_trusted_and_nobody_else() {
        let ours = token(SECRET);
        let other = token(b"0123456789abcdeg");
        let dial = |token: &ClusterToken, to| Dialer::new(token.clone(), to, [1; 32]);
        let refused = |reason| (Err(HelloFailure::Refused(reason)), false);
        for (dialer, listener, met) in [
            (dial(&ours, NAME), Some(&ours), (Ok(()), true)),
            (dial(&ours, ""), Some(&ours), (Ok(()), true)),
            (dial(&ours, NAME), Some(&other), refused(Reason::OtherToken)),
            (dial(&ours, NAME), None, refused(Reason::NoToken)),
            (
                dial(&ours, "10.0.0.2:8701"),
                Some(&ours),
                refused(Reason::OtherNode),
            ),
        ] {
            assert_eq!(meet(dialer, listener), met);
        }
    }

    #[test]
    fn what_was_recorded_does_not_serve_again() {
        let ours = token(SECRET);
        let mut dialer = Dialer::new(ours.clone(), NAME, [1; 32]);
        let hello = dialer.hello().encode();
        let mut first = Listener::default();
        let challenge = first.asked(Some(&ours), NAME, [2; 32], &hello);
        let proof = dialer.answered(&challenge).unwrap().unwrap().encode();
        let accepted = first.asked(Some(&ours), NAME, [9; 32], &proof);
        assert!(first.is_proved());

        // The same frames on another connection.
        let mut second = Listener::default();
        second.asked(Some(&ours), NAME, [3; 32], &hello);
        assert_eq!(
            second.asked(Some(&ours), NAME, [9; 32], &proof),
            Message::Refused(Reason::OtherToken)
        );
        // Nor is there a second try.
        assert_eq!(
            second.asked(Some(&ours), NAME, [2; 32], &hello),
            Message::Refused(Reason::NotUnderstood)
        );
        // A listener's answers do not serve another dialer.
        let mut another = Dialer::new(ours, NAME, [4; 32]);
        another.answered(&challenge).unwrap();
        assert_eq!(another.answered(&accepted), Err(HelloFailure::Unproved));
    }

    #[test]
    fn what_a_dialer_says_is_no_answer_to_it() {
        let ours = token(SECRET);
        let mut dialer = Dialer::new(ours, NAME, [1; 32]);
        assert_eq!(
            dialer.answered(&dialer.hello()),
            Err(HelloFailure::Unexpected)
        );
        // Whoever does not know the token sends back nonce and proof.
        let proof = dialer.answered(&Message::Challenge { nonce: [1; 32] });
        let Ok(Some(Message::Proof(proof))) = proof else {
            panic!("{proof:?}");
        };
        assert_eq!(
            dialer.answered(&Message::Accepted(proof)),
            Err(HelloFailure::Unproved)
        );
    }

    #[test]
    fn nothing_before_a_hello_proves_anything() {
        let ours = token(SECRET);
        let mut listener = Listener::default();
        let proof = Message::Proof([0; 32]).encode();
        let answer = listener.asked(Some(&ours), NAME, [2; 32], &proof);
        assert_eq!(answer, Message::Refused(Reason::NotUnderstood));
        assert!(!listener.is_proved());
    }

    #[test]
    fn a_token_is_long_enough_and_never_shown() {
        assert_eq!(
            ClusterToken::new(b"short").unwrap_err(),
            TokenError { bytes: 5 }
        );
        let shown = format!("{:?}", Dialer::new(token(SECRET), NAME, [0; 32]));
        assert!(shown.contains("ClusterToken(..)"), "{shown}");
        assert!(!shown.contains("0123"), "{shown}");
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            (any::<Nonce>(), ".{0,60}").prop_map(|(nonce, to)| Message::Hello { nonce, to }),
            any::<Nonce>().prop_map(|nonce| Message::Challenge { nonce }),
            any::<[u8; 32]>().prop_map(Message::Proof),
            any::<[u8; 32]>().prop_map(Message::Accepted),
            prop::sample::select(&Reason::ALL[..]).prop_map(Message::Refused),
        ]
    }

    proptest! {
        #[test]
        fn a_message_is_read_as_written_and_neither_shorter_nor_longer(said in message(), cut in any::<prop::sample::Index>(), more in 1usize..1000) {
            let bytes = said.encode();
            prop_assert_eq!(Message::decode(&bytes), Ok(said));
            prop_assert!(Message::decode(&bytes[..cut.index(bytes.len())]).is_err());
            let longer = [bytes, vec![0; more]].concat();
            prop_assert!(Message::decode(&longer).is_err());
        }

        #[test]
        fn garbage_is_refused_or_a_message(bytes in prop::collection::vec(any::<u8>(), 0..80), kind in 0u8..8) {
            crate::fuzz::fuzz_hello(&bytes);
            crate::fuzz::fuzz_hello(&[&[VERSION, kind], &bytes[..]].concat());
        }

        #[test]
        fn a_proof_of_anything_else_proves_nothing(
            (one, other) in (any::<Nonce>(), any::<Nonce>()),
            (to, secret) in (".{0,20}", prop::collection::vec(any::<u8>(), TOKEN_BYTES_MIN..99)),
            bit in 0usize..256,
        ) {
            let token = token(&secret);
            let said = Transcript { dialer: one, listener: other, to };
            let mut proof = said.proof(&token, DIALER);
            prop_assert!(said.is_proved(&token, DIALER, &proof));
            prop_assert!(!said.is_proved(&token, LISTENER, &proof));
            let swapped = Transcript { dialer: other, listener: one, ..said.clone() };
            prop_assert_eq!(swapped.is_proved(&token, DIALER, &proof), one == other);
            proof[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!said.is_proved(&token, DIALER, &proof));
        }
    }
}
