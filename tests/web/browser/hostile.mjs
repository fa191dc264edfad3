// Texts that become markup, script or a broken layout where somebody forgets to escape. All of them in one string, put
// into every field that a proposer, a model or a worker can write.
export const hostile = [
  `<script>window.__xss=1</script>`,
  `<img src=x onerror="window.__xss=2">`,
  `"><svg onload=window.__xss=3>`,
  `' onmouseover='window.__xss=4`,
  `javascript:window.__xss=5`,
  `</title></textarea></pre></style></script><iframe srcdoc="<script>parent.__xss=6</script>">`,
  `{{constructor.constructor("window.__xss=7")()}}`,
  `<a href="javascript:window.__xss=8">x</a>`,
  `<style>*{display:none}</style>`,
  `=cmd|' /C calc'!A0`,
  `\u202Egnp.exe\u202C`,
  `]]><!--`,
  `&lt;b&gt;`,
  `%3Cscript%3E`,
].join(" ");
