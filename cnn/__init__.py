"""Gender and quality networks that filter the candidates, and the oracle that judges pictures."""
