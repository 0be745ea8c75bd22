/// The name a service is found by: `interface:version[:uniqueId]`
/// (`sofastack/sofa-rpc:core/api/src/main/java/com/alipay/sofa/rpc/config/ConfigUniqueNameGenerator.java`).
/// An empty version means the default, 1.0.
pub fn unique_name(interface: &str, version: &str, unique_id: &str) -> String {
    let version = if version.is_empty() { "1.0" } else { version };
    if unique_id.is_empty() {
        format!("{interface}:{version}")
    } else {
        format!("{interface}:{version}:{unique_id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        assert_eq!(unique_name("com.x.Hello", "", ""), "com.x.Hello:1.0");
        assert_eq!(
            unique_name("com.x.Hello", "2.0", "blue"),
            "com.x.Hello:2.0:blue"
        );
    }
}
