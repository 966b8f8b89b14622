package engine
import ("testing";"os";"path/filepath";"github.com/open-policy-agent/opa/v1/format";"github.com/open-policy-agent/opa/v1/ast")
func TestFmtWrite(t *testing.T){ fs,_:=filepath.Glob("../../policy/postern/sharing/*.rego"); for _,f:=range fs { d,_:=os.ReadFile(f); o,err:=format.SourceWithOpts(f,d,format.Opts{RegoVersion:ast.RegoV1}); if err!=nil{t.Fatal(err)}; os.WriteFile(f,o,0o644)} }
