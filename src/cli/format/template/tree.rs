//! The parsed template, with fields and printing left to us: the template engine knows maps only, while here a type may
//! have a field that the JSON omits, and a name that is not its key.

use super::functions::{FIELD, METHOD, PRINT};
use gotmpl::parse::{CommandNode, Expr, ListNode, Node, PipeNode, Pos, SmolStr};

/// Rewrites a tree in place: `.A.B` becomes `FIELD "1:2" ".A.B" . "A" "B"`, `.M "x"` becomes `METHOD … . "M" "x"`, and
/// what is printed goes through `PRINT`.
pub(super) struct Rewrite<'a> {
    /// The template's text, for positions.
    pub(super) text: &'a str,
    /// The functions that are called.
    pub(super) called: Vec<SmolStr>,
}

impl Rewrite<'_> {
    pub(super) fn list(&mut self, list: &mut ListNode) {
        for node in &mut list.nodes {
            match node {
                Node::Action(action) => {
                    self.pipe(&mut action.pipe);
                    if action.pipe.decl.is_empty() {
                        let args = vec![Expr::Identifier(action.pos, PRINT.into())];
                        action.pipe.commands.push(CommandNode { pos: action.pos, args });
                    }
                }
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                    self.pipe(&mut branch.pipe);
                    self.list(&mut branch.body);
                    branch.else_body.iter_mut().for_each(|body| self.list(body));
                }
                Node::Template(call) => call.pipe.iter_mut().for_each(|pipe| self.pipe(pipe)),
                Node::List(list) => self.list(list),
                Node::Define(define) => self.list(&mut define.body),
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            }
        }
    }

    fn pipe(&mut self, pipe: &mut PipeNode) {
        for command in &mut pipe.commands {
            let arguments = command.args.len() > 1;
            for expr in &mut command.args {
                self.expr(expr);
            }
            // A field with arguments is a method.
            if arguments && let Some(Expr::Pipe(_, field)) = command.args.first() {
                let method = field.commands.first().filter(|c| is_call(c, FIELD)).map(|c| c.args.clone());
                if let Some(mut method) = method {
                    method[0] = Expr::Identifier(command.pos, METHOD.into());
                    method.extend(command.args.drain(1..));
                    command.args = method;
                }
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        let (pos, of, fields) = match expr {
            Expr::Field(pos, fields) => (*pos, Expr::Dot(*pos), std::mem::take(fields)),
            Expr::Variable(pos, name, fields) if !fields.is_empty() => {
                (*pos, Expr::Variable(*pos, name.clone(), Vec::new()), std::mem::take(fields))
            }
            Expr::Chain(pos, inner, fields) => {
                self.expr(inner);
                // A function's result has no type of ours.
                if matches!(inner.as_ref(), Expr::Identifier(..)) {
                    return;
                }
                (*pos, inner.as_ref().clone(), std::mem::take(fields))
            }
            Expr::Pipe(_, pipe) => return self.pipe(pipe),
            Expr::Identifier(_, name) => return self.called.push(name.clone()),
            _ => return,
        };
        let text = |text: &str| Expr::String(pos, text.into());
        let shown = match &of {
            Expr::Variable(_, name, _) => format!("{name}.{}", fields.join(".")),
            _ => format!(".{}", fields.join(".")),
        };
        let mut args =
            vec![Expr::Identifier(pos, FIELD.into()), text(&self.position(pos, &fields)), text(&shown), of];
        args.extend(fields.iter().map(|field| text(field)));
        let commands = vec![CommandNode { pos, args }];
        *expr = Expr::Pipe(pos, PipeNode { pos, decl: Vec::new(), commands, is_assign: false });
    }

    /// Line and column as Go counts them: of a chain it names the second field.
    fn position(&self, pos: Pos, fields: &[SmolStr]) -> String {
        let skipped = if fields.len() > 1 { fields[0].len() + 1 } else { 0 };
        let before = &self.text[..pos.offset.min(self.text.len())];
        let column = before.rfind('\n').map_or(before.len(), |end| before.len() - end - 1) + skipped;
        format!("{}:{column}", pos.line)
    }
}

fn is_call(command: &CommandNode, function: &str) -> bool {
    matches!(command.args.first(), Some(Expr::Identifier(_, name)) if name == function)
}
