//! `kim-device ID`: a device for tests in other languages. Each line on standard input is a request, each on standard output
//! its answer, both JSON; the transport is whoever's who runs it.
//!
//! `{"do":"bundle"}` → `{"bundle":xml,"fingerprint":hex}` · `{"do":"meet","account":jid,"device":id,"bundle":xml}` → `{}` ·
//! `{"do":"encrypt","text":text,"to":[[jid,id]…]}` → `{"encrypted":xml}` ·
//! `{"do":"decrypt","account":jid,"encrypted":xml}` → `{"text":text or null,"device":id,"used_prekey":bool}`; what does not
//! work is answered with `{"error":why}`.
#![forbid(unsafe_code)]

use std::io::{BufRead, Write};

use futures_util::FutureExt;
use kim_omemo::{Device, Error};
use kim_wire::Element;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let id = std::env::args().nth(1).ok_or("usage: kim-device ID")?;
    let mut device = Device::new(id.parse()?)?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        // A device in memory waits for nothing.
        let answer = answer(&mut device, &request).now_or_never().ok_or("it waits")?;
        let answer = answer.unwrap_or_else(|error| json!({ "error": error.to_string() }));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

async fn answer(device: &mut Device, request: &Value) -> Result<Value, Error> {
    let text = |name: &str| {
        let text = request.get(name).and_then(Value::as_str);
        text.ok_or(Error::Malformed("the request lacks something"))
    };
    let xml = |name: &str| Element::parse(text(name)?).map_err(|_| Error::Malformed("this is not XML"));
    Ok(match text("do")? {
        "bundle" => json!({ "bundle": device.bundle(), "fingerprint": device.fingerprint() }),
        "meet" => {
            let other = request.get("device").and_then(Value::as_u64).unwrap_or_default();
            let other = u32::try_from(other).map_err(|_| Error::Malformed("no device has this id"))?;
            device.meet(text("account")?, other, xml("bundle")?.el()).await?;
            json!({})
        }
        "encrypt" => {
            let to = request.get("to").and_then(Value::as_array);
            let to: Option<Vec<(&str, u32)>> = to
                .into_iter()
                .flatten()
                .map(|one| Some((one.get(0)?.as_str()?, one.get(1)?.as_u64()?.try_into().ok()?)))
                .collect();
            let to = to.ok_or(Error::Malformed("a recipient is an address and a number"))?;
            json!({ "encrypted": device.encrypt(text("text")?, &to).await? })
        }
        "decrypt" => {
            let read = device.decrypt(text("account")?, xml("encrypted")?.el()).await?;
            json!({ "text": read.text, "device": read.device, "used_prekey": read.used_prekey })
        }
        _ => return Err(Error::Malformed("no such request")),
    })
}
