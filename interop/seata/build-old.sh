#!/usr/bin/env bash
# The same client around Seata 2.0.0, whose classes are io.seata's and whose protobuf serializer Maven still has: in target/old, without
# the programs of sagas and of participants in Rust. SEATA_CLIENT=old ./run.sh runs it.
set -euo pipefail
cd "$(dirname "$0")"
old=target/old
rm -rf "$old"
mkdir -p "$old/src/main/java/diwan/baseline/seata"
cp src/main/java/diwan/baseline/seata/*.java "$old/src/main/java/diwan/baseline/seata/"
rm "$old"/src/main/java/diwan/baseline/seata/{SagaRun,SagaCheck,MixedCheck}.java
sed -i '/\(SagaRun\|SagaCheck\|MixedCheck\)/d; s/org\.apache\.seata/io.seata/g' "$old"/src/main/java/diwan/baseline/seata/*.java
[ ! -d src/main/resources ] || cp -r src/main/resources "$old/src/main/"
sed 's#<groupId>org\.apache\.seata</groupId>#<groupId>io.seata</groupId>#
s#<seata\.version>.*</seata\.version>#<seata.version>2.0.0</seata.version>#
s#^  <dependencies>#&<dependency><groupId>io.seata</groupId><artifactId>seata-serializer-protobuf</artifactId><version>2.0.0</version></dependency>#' \
  pom.xml > "$old/pom.xml"
mvn -q -B -f "$old/pom.xml" package
