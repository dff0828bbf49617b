use super::*;

#[test]
fn scratch_fixtures() {
    let Ok(dir) = std::env::var("PB_FIXTURES") else { return };
    let mut n = 0;
    for f in std::fs::read_dir(dir).unwrap() {
        let p = f.unwrap().path();
        if p.extension().is_none_or(|e| e != "pb") { continue }
        let pb = std::fs::read(&p).unwrap();
        let json: Value = serde_json::from_slice(&std::fs::read(p.with_extension("json")).unwrap()).unwrap();
        let (v, k) = (json["apiVersion"].as_str().unwrap(), json["kind"].as_str().unwrap());
        if !knows(v, k) { eprintln!("skip {v} {k}"); continue }
        n += 1;
        match decode(&pb) {
            Ok(got) if got == json => {}
            Ok(got) => diff(&got, &json, &format!("{v} {k}")),
            Err(e) => eprintln!("{v} {k}: decode {e}"),
        }
        match encode(&json) {
            Ok(got) if got == pb => {}
            Ok(_) => eprintln!("{v} {k}: other bytes"),
            Err(e) => eprintln!("{v} {k}: encode {e}"),
        }
    }
    eprintln!("{n} compared");
}
fn diff(a: &Value, b: &Value, at: &str) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            for k in x.keys().chain(y.keys().filter(|k| !x.contains_key(*k))) {
                diff(x.get(k).unwrap_or(&Value::Null), y.get(k).unwrap_or(&Value::Null), &format!("{at}.{k}"));
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => for (i, (x, y)) in x.iter().zip(y).enumerate() { diff(x, y, &format!("{at}[{i}]")) },
        _ if a == b => {}
        _ => eprintln!("{at}: {a} != {b}"),
    }
}
