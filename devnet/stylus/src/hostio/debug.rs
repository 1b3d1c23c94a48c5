//! Functions of debug chains. They are free; what they print goes to the log.

use wasmtime::{Caller, Linker};

use crate::guest::{Escape, Guest, Hook, hook};

fn text(h: &mut Hook<'_, '_>, text: String) -> Result<(), Escape> {
    tracing::info!(target: "stylus::console", program = %h.guest().frame.acting, "{text}");
    h.arg(text);
    Ok(())
}

/// Defines a function that prints a number and one that also returns it.
macro_rules! number {
    ($linker:ident, $log:literal, $tee:literal, $ty:ty) => {
        $linker.func_wrap("console", $log, |c: Caller<'_, Guest>, value: $ty| {
            hook(c, "console_log", |h| text(h, value.to_string()))
        })?;
        $linker.func_wrap("console", $tee, |c: Caller<'_, Guest>, value: $ty| {
            hook(c, "console_log", |h| {
                text(h, value.to_string()).map(|()| value)
            })
        })?;
    };
}

pub(super) fn define(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "console",
        "log_txt",
        |c: Caller<'_, Guest>, ptr: u32, len: u32| {
            hook(c, "console_log_text", |h| {
                let bytes = h.read(ptr, len)?;
                text(h, String::from_utf8_lossy(&bytes).into_owned())
            })
        },
    )?;
    number!(linker, "log_i32", "tee_i32", i32);
    number!(linker, "log_i64", "tee_i64", i64);
    number!(linker, "log_f32", "tee_f32", f32);
    number!(linker, "log_f64", "tee_f64", f64);
    for name in ["null_host", "start_benchmark", "end_benchmark"] {
        linker.func_wrap("debug", name, |_: Caller<'_, Guest>| {})?;
    }
    Ok(())
}
