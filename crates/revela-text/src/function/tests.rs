use proptest::prelude::*;

use super::*;
use crate::language::Format;

/// Name, doc and code of every function.
fn found(language: Language, text: &str) -> Vec<(String, String, String)> {
    let all = functions(language, text);
    check(&all, text);
    all.into_iter().map(|f| (f.name, f.doc, f.code)).collect()
}

/// What must hold for any text.
fn check(all: &[Function], text: &str) {
    let mut end = 0;
    for function in all {
        assert!(function.range.start >= end, "{function:?} overlaps the one before it");
        let slice = text.get(function.range.clone()).expect("a range inside the text, on boundaries");
        assert!(!function.name.is_empty());
        assert!(slice.contains(&function.name));
        assert!(function.code.len() <= slice.len());
        end = function.range.end;
    }
}

fn expect(language: Language, text: &str, expected: &[(&str, &str, &str)]) {
    let owned: Vec<_> =
        expected.iter().map(|(n, d, c)| (n.to_string(), d.to_string(), c.to_string())).collect();
    assert_eq!(found(language, text), owned);
}

#[test]
fn rust() {
    let text = "\
//! Of the file.

/// Adds.
///
///     code
#[inline]
/// More.
// A note.
pub fn add(a: u8) -> u8 {
    fn inner() {}
    a + 1
}

/// Too far above.

fn lone() {}
static X: u8 = 0; /// Not of far.
fn far() {}
impl A {
    /** Of a
     * method. */
    #[must_use]
    fn get(&self) -> u8 {
        // Kept.
        self.0
    }
    //// No doc.
    fn declared(&self) -> Self where Self: Sized { todo!() }
}
trait B { /// Nothing.
    fn no_body(&self); }
";
    expect(
        Language::Rust,
        text,
        &[
            (
                "add",
                "Adds.\n\n    code\nMore.",
                "#[inline]\n// A note.\npub fn add(a: u8) -> u8 {\n    fn inner() {}\n    a + 1\n}",
            ),
            ("lone", "", "fn lone() {}"),
            ("far", "", "fn far() {}"),
            ("get", "Of a\nmethod.", "#[must_use]\nfn get(&self) -> u8 {\n    // Kept.\n    self.0\n}"),
            ("declared", "", "fn declared(&self) -> Self where Self: Sized { todo!() }"),
        ],
    );
}

#[test]
fn rust_tests_are_told_apart() {
    let text = "
fn a() {}
#[test] fn b() {}
#[tokio::test(flavor = \"x\")]
async fn c() {}
#[cfg(not(test))] fn d() {}
#[cfg(all(test, unix))]
mod tests { mod deeper { fn e() {} } }
mod others { #[cfg(feature = \"test\")] fn f() {} }
#[cfg(test)]
impl A { fn g() {} }
fn h() {}
";
    let all = functions(Language::Rust, text);
    let tests: String = all.iter().filter(|f| f.role == Role::Test).map(|f| f.name.as_str()).collect();
    let product: String = all.iter().filter(|f| f.role == Role::Product).map(|f| f.name.as_str()).collect();
    assert_eq!((tests.as_str(), product.as_str()), ("bceg", "adfh"));
}

#[test]
fn python() {
    let text = "\
class A:
    @property
    # A note.
    def size(self):
        r\"\"\"The size.

            Indented.
        In bytes.
        \"\"\"

        return 1

    def plain(self):
        f\"\"\"No {doc}.\"\"\"
        return 2
async def one(): # why
    'Quoted.'
    return 3
def joined():
    \"Not\" + \"doc\"
";
    expect(
        Language::Python,
        text,
        &[
            (
                "size",
                "The size.\n\n    Indented.\nIn bytes.",
                "@property\n# A note.\ndef size(self):\n    return 1",
            ),
            ("plain", "", "def plain(self):\n    f\"\"\"No {doc}.\"\"\"\n    return 2"),
            ("one", "Quoted.", "async def one(): # why\n    return 3"),
            ("joined", "", "def joined():\n    \"Not\" + \"doc\""),
        ],
    );
}

#[test]
fn java() {
    let text = "\
class A {
  /** Not of get. */
  /**
   * Gets it.
   *
   * @return it
   */
  @Override
  public int get() {
    return 1;
  }
  /* no doc */
  A() { super(); }
  abstract int none();
}
";
    expect(
        Language::Java,
        text,
        &[
            ("get", "Gets it.\n\n@return it", "@Override\npublic int get() {\n  return 1;\n}"),
            ("A", "", "A() { super(); }"),
        ],
    );
}

#[test]
fn java_script_and_type_script() {
    let text = "\
/** Runs. */
export async function run(x) {
  return x;
}
/** Doubles. */
export const twice = (x) => {
  return 2 * x;
};
const short = (x) => x, other = 1;
class A {
  /** Makes. */
  constructor() { this.x = () => { go(); }; }
}
/** Counts. */
function* count() { yield 1; }
";
    let expected = [
        ("run", "Runs.", "export async function run(x) {\n  return x;\n}"),
        ("twice", "Doubles.", "export const twice = (x) => {\n  return 2 * x;\n};"),
        ("constructor", "Makes.", "constructor() { this.x = () => { go(); }; }"),
        ("count", "Counts.", "function* count() { yield 1; }"),
    ];
    for language in [Language::JavaScript, Language::TypeScript, Language::Tsx] {
        expect(language, text, &expected);
    }
    let text =
        "class A {\n  /** Does. */\n  @bound()\n  do(x: number): void { x; }\n  abstract no(): void;\n}\n";
    expect(Language::TypeScript, text, &[("do", "Does.", "@bound()\ndo(x: number): void { x; }")]);
}

#[test]
fn go() {
    let text = "\
package a

// Not this.

// Add adds
// numbers.
//
//go:noinline
func Add(a int) int { // here
\treturn a
}

/* Len is
   the length. */
func (s *S) Len() int { return 1 }
func asm()
";
    expect(
        Language::Go,
        text,
        &[
            ("Add", "Add adds\nnumbers.", "func Add(a int) int { // here\n\treturn a\n}"),
            ("Len", "Len is\nthe length.", "func (s *S) Len() int { return 1 }"),
        ],
    );
}

#[test]
fn c_and_cpp() {
    let text = "\
/**
 * Opens it.
 */
static FILE *open_it(const char *name)
{
    return 0;
}
/// Line one.
/// Line two.
int (*pick(int a))(int) { return 0; }
int declared(int);
// plain
int plain(void) { return 1; }
";
    let expected = [
        ("open_it", "Opens it.", "static FILE *open_it(const char *name)\n{\n    return 0;\n}"),
        ("pick", "Line one.\nLine two.", "int (*pick(int a))(int) { return 0; }"),
        ("plain", "", "int plain(void) { return 1; }"),
    ];
    expect(Language::C, text, &expected);
    expect(Language::Cpp, text, &expected);
    let text = "\
namespace n {
  /// Puts.
  template <typename T>
  void Stack<T>::push(T&& x) {
    y = x;
  }
  struct A {
    /** Ends. */
    ~A() { f(); }
    A() = default;
    int& operator[](int i) const noexcept { return v[i]; }
  };
}
";
    expect(
        Language::Cpp,
        text,
        &[
            ("Stack<T>::push", "Puts.", "template <typename T>\nvoid Stack<T>::push(T&& x) {\n  y = x;\n}"),
            ("~A", "Ends.", "~A() { f(); }"),
            ("operator[]", "", "int& operator[](int i) const noexcept { return v[i]; }"),
        ],
    );
}

#[test]
fn macros_before_a_c_function_are_no_part_of_its_name() {
    let text = "/** Does. */\nAPI_PUBLIC uint32_t _cross(int a) {\n  return a;\n}\n";
    let found = found(Language::Cpp, text);
    assert_eq!((found.len(), found[0].0.as_str(), found[0].1.as_str()), (1, "_cross", "Does."));
    assert_eq!(kind::without_macros("uint32_t _cross"), "_cross");
    assert_eq!(kind::without_macros("A::operator bool"), "A::operator bool");
}

#[test]
fn c_sharp() {
    let text = "\
class A {
    /// <summary>
    /// Gets the <see cref=\"T:System.String\"/> for <paramref name=\"x\"/> &lt; 3.
    /// </summary>
    /// <param name=\"x\">What.</param>
    [Pure]
    public string Get(int x)
    {
        return \"\";
    }
    /// <summary>Adds.</summary>
    int Next(int x) => x + 1;
    abstract int None();
}
";
    expect(
        Language::CSharp,
        text,
        &[
            (
                "Get",
                "Gets the System.String for x < 3.\n\nWhat.",
                "[Pure]\npublic string Get(int x)\n{\n    return \"\";\n}",
            ),
            ("Next", "Adds.", "int Next(int x) => x + 1;"),
        ],
    );
}

#[test]
fn line_ends_of_windows_are_read() {
    let text = "/// One.\r\n/// Two.\r\nfn a() {\r\n    b()\r\n}\r\n";
    expect(Language::Rust, text, &[("a", "One.\nTwo.", "fn a() {\n    b()\n}")]);
}

#[test]
fn depth_and_width_do_no_harm() {
    let n = 20_000;
    let deep = format!("{}fn f() {{}}{}", "mod a {".repeat(n), "}".repeat(n));
    let blocks = format!("fn f() {{ {} {} }}", "{".repeat(n), "}".repeat(n));
    let pointers = format!("int {}f() {{ return 0; }}", "*".repeat(n));
    let comments = format!("{}fn f() {{}}", "/// doc\n".repeat(n));
    for (language, text) in [
        (Language::Rust, &deep),
        (Language::Rust, &blocks),
        (Language::C, &pointers),
        (Language::Rust, &comments),
        (Language::Python, &"(".repeat(n)),
        (Language::JavaScript, &"export ".repeat(n)),
    ] {
        check(&functions(language, text), text);
    }
    assert_eq!(functions(Language::Rust, &comments)[0].doc.lines().count(), n);
    assert_eq!(functions(Language::Rust, &"fn f() { g() }\n".repeat(n)).len(), n);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_text_gives_ranges_inside_it(
        format in prop::sample::select(Format::all().collect::<Vec<_>>()),
        pieces in prop::collection::vec(prop::sample::select(&[
            "/// Doc é.\n", "/** Doc. */", "// c\n", "#[test]\n", "fn f() {", "}", "\r\n", "def g():\n    '''D日'''\n    x\n",
            "@a\n", "export ", "const f = () => {", "template <class T> ", "int *f(a) {", "class A {", "    ", "f(){}",
            "impl A {", "func (a B) C() {", "é", "'''", "/*", "*/", "(", ";", "mod m {", "\n\n", "public int h() {",
        ][..]), 0..30)
    ) {
        let text = pieces.concat();
        if let Format::Code(language) = format {
            check(&functions(language, &text), &text);
        }
    }

    #[test]
    fn any_string_is_read(format in prop::sample::select(Format::all().collect::<Vec<_>>()), text: String) {
        if let Format::Code(language) = format {
            check(&functions(language, &text), &text);
        }
    }
}
