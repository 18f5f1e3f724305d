"""README.txt of an export: what is in it and whose right it is, in Portuguese."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from processors.days import moment_in_numbers
from processors.exports.read import Owner
from processors.exports.tables import AGENCY_ROLES, Table

_RIGHTS: Final = """\
OS SEUS DIREITOS (art. 18 da Lei nº 13.709/2018, LGPD)

  - confirmar que os seus dados são tratados e ter acesso a eles;
  - corrigir dados incompletos, inexatos ou desatualizados;
  - pedir a anonimização, o bloqueio ou a eliminação de dados desnecessários,
    excessivos ou tratados em desconformidade com a lei;
  - levar os seus dados a outro fornecedor (portabilidade);
  - pedir a eliminação dos dados tratados com o seu consentimento;
  - saber com quem os seus dados foram compartilhados;
  - ser informado sobre a possibilidade de não consentir e as consequências;
  - revogar o consentimento a qualquer momento;
  - peticionar perante a Autoridade Nacional de Proteção de Dados (ANPD)."""

_FORMATS: Final = """\
COMO LER

  Os arquivos .csv abrem no Excel e no LibreOffice: campos separados por
  ponto e vírgula, vírgula decimal, datas dd/mm/aaaa no horário de Brasília.
  Um apóstrofo no início de um texto impede que ele seja lido como fórmula."""

_JSON: Final = """\
  my-data.json traz os mesmos dados para outros programas: horários em UTC
  (ISO 8601), valores como números."""


def readme(
    owner: Owner, tables: Sequence[Table], rows: Mapping[str, int], *, at: datetime, with_json: bool
) -> bytes:
    """The file, with line ends that every editor knows."""
    whole = owner.role in AGENCY_ROLES and any(table.shared for table in tables)
    parts = [
        f"EXPORTAÇÃO DE DADOS PESSOAIS\n{owner.tenant}",
        f"Titular:   {owner.name} <{owner.email}>\nGerado em: {moment_in_numbers(at)} (Brasília)",
        "CONTEÚDO\n\n" + "\n".join(_entry(table, rows[table.name]) for table in tables),
        _scope(whole),
        f"{_FORMATS}\n\n{_JSON}" if with_json else _FORMATS,
        _RIGHTS,
        _contact(owner),
    ]
    return "\n\n\n".join(parts).replace("\n", "\r\n").encode("utf-8-sig") + b"\r\n"


def _entry(table: Table, rows: int) -> str:
    counted = f"{rows:,}".replace(",", ".")
    return f"  {table.name + '.csv':<26}{counted:>12}  {table.title}"


def _scope(whole: bool) -> str:
    if whole:
        return (
            "O seu perfil de acesso abrange os imóveis, contratos, pagamentos e\n"
            "arquivos da imobiliária: eles constam por inteiro, com dados de\n"
            "terceiros. Trate-os conforme a lei."
        )
    return (
        "Constam apenas os registros ligados a você. A sua senha não faz parte da\n"
        "exportação: dela guardamos somente um código irreversível."
    )


def _contact(owner: Owner) -> str:
    reached = [said for said in (owner.tenant_email, owner.tenant_phone) if said]
    where = "\n".join(f"  {said}" for said in reached) or "  pelos canais de atendimento"
    return (
        "CONTATO\n\n"
        "  Dúvidas e pedidos: encarregado pelo tratamento de dados (DPO),\n"
        f"  {owner.tenant}\n{where}"
    )
